//! The C interface of librit.
