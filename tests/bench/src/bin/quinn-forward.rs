//! `quinn-forward`: the TCP forwarder that one would write on quinn, to be measured beside ours.
//!
//!     quinn-forward serve LISTEN TARGET    UDP at LISTEN; connects to TARGET for each stream
//!     quinn-forward reach LISTEN REMOTE    TCP at LISTEN; opens a stream for each connection
//!
//! Either says `ready`. Owns one QUIC connection, with one stream per TCP connection, in the same
//! cipher and with the same keys as the peers in memory have (`tls`). Invariant: a chunk is not
//! copied between a socket's buffer and the QUIC stream's.

use bytes::{Bytes, BytesMut};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    AckFrequencyConfig, ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig,
    RecvStream, SendStream, ServerConfig, TokioRuntime, TransportConfig, VarInt,
};
use rit_bench::bulk::BLOCK;
use rit_bench::tls::{Configs, NAME};
use rustix::net::sockopt;
use std::env;
use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

/// Flow control windows and send buffers, at both levels: larger ones were slower.
const WINDOW: u64 = 2 * 1024 * 1024;
/// Packets that one acknowledgement is asked for.
const ACK_EVERY: u32 = 10;
/// Of the UDP socket, each way: what a burst of a whole window takes.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Bytes of the largest datagram: ten, which quinn hands over at once, stay below the kernel's 64
/// KiB. With 8900, nearer to ours, whole batches are refused and count as lost.
const DATAGRAM: u16 = 6400;
/// More than the connections that are measured at once.
const STREAMS: u32 = 1000;
/// Below the idle timeout of 30 s: it waits while others are measured.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// Chunks, each of one packet, written to TCP in one call.
const CHUNKS: usize = 64;

type Answer<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

// Of the ways that were tried the fastest on two cores: the worker threads of the other runtime
// cost half as much CPU time again.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["serve", listen, target] => serve(listen, target).await,
        ["reach", listen, remote] => reach(listen, remote).await,
        _ => Err("usage: quinn-forward serve LISTEN TARGET | reach LISTEN REMOTE".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quinn-forward: {error}");
            ExitCode::FAILURE
        }
    }
}

fn transport() -> Answer<Arc<TransportConfig>> {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_EVERY));
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(DATAGRAM);
    let mut transport = TransportConfig::default();
    transport
        .ack_frequency_config(Some(acks))
        .mtu_discovery_config(Some(mtu))
        .stream_receive_window(VarInt::try_from(WINDOW)?)
        .receive_window(VarInt::try_from(WINDOW)?)
        .send_window(WINDOW)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS))
        .keep_alive_interval(Some(KEEP_ALIVE));
    Ok(Arc::new(transport))
}

fn endpoint(at: SocketAddr, server: Option<ServerConfig>) -> Answer<Endpoint> {
    let socket = UdpSocket::bind(at)?;
    // The privileged way is not bound by the system's limit; ours tries both, too.
    if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
        sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER)?;
    }
    sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER)?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(DATAGRAM)?;
    Ok(Endpoint::new(config, server, socket, Arc::new(TokioRuntime))?)
}

async fn serve(listen: &str, target: &str) -> Answer {
    let tls = QuicServerConfig::try_from(Configs::new().server)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(transport()?);
    let endpoint = endpoint(listen.parse()?, Some(config))?;
    let target: SocketAddr = target.parse()?;
    println!("ready");
    while let Some(incoming) = endpoint.accept().await {
        let connection = incoming.await?;
        tokio::spawn(async move {
            while let Ok((send, recv)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    let stream = TcpStream::connect(target).await?;
                    join(stream, send, recv).await
                });
            }
        });
    }
    Ok(())
}

async fn reach(listen: &str, remote: &str) -> Answer {
    let remote: SocketAddr = remote.parse()?;
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let tls = QuicClientConfig::try_from(Configs::new().client)?;
    let mut config = ClientConfig::new(Arc::new(tls));
    config.transport_config(transport()?);
    let connection = endpoint(any, None)?.connect_with(config, remote, NAME)?.await?;
    let listener = TcpListener::bind(listen).await?;
    println!("ready");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(open(connection.clone(), stream));
    }
}

async fn open(connection: Connection, stream: TcpStream) -> Answer {
    let (send, recv) = connection.open_bi().await?;
    join(stream, send, recv).await
}

/// Both ways, until both have ended.
async fn join(stream: TcpStream, send: SendStream, recv: RecvStream) -> Answer {
    stream.set_nodelay(true)?;
    let (read, write) = stream.into_split();
    let (out, back) = tokio::join!(to_quic(read, send), to_tcp(recv, write));
    out.and(back)
}

async fn to_quic(mut from: OwnedReadHalf, mut to: SendStream) -> Answer {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(BLOCK);
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(to.finish()?);
        }
        to.write_chunk(buffer.split().freeze()).await?;
    }
}

async fn to_tcp(mut from: RecvStream, mut to: OwnedWriteHalf) -> Answer {
    let mut chunks = [const { Bytes::new() }; CHUNKS];
    while let Some(count) = from.read_chunks(&mut chunks).await? {
        let mut slices = [IoSlice::new(&[]); CHUNKS];
        for (slice, chunk) in slices.iter_mut().zip(&chunks) {
            *slice = IoSlice::new(chunk);
        }
        let mut rest = &mut slices[..count];
        while !rest.is_empty() {
            let written = to.write_vectored(rest).await?;
            IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(to.shutdown().await?)
}
