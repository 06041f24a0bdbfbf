//! traverse
