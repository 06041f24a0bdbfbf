/* Sizes and offsets that programs built today rely on; they hold for every 64- and 32-bit target. */
#include "fake.h"

#define AT(type, field, offset) CHECK(offsetof(struct type, field) == (offset))

int main(void) {
    CHECK(sizeof(struct rit_path) == 32);
    AT(rit_path, ip, 8);
    AT(rit_path, port, 24);
    AT(rit_path, socket, 26);
    CHECK(sizeof(struct rit_config) == 80);
    AT(rit_config, max_datagram, 36);
    AT(rit_config, max_flows, 48);
    AT(rit_config, reserved, 64);
    CHECK(sizeof(struct rit_stats) == 112);
    AT(rit_stats, datagrams_received, 8);
    AT(rit_stats, buffer_memory, 72);
    AT(rit_stats, flows, 80);
    AT(rit_stats, reserved, 104);
    CHECK(sizeof(struct rit_event) == 112);
    AT(rit_event, session, 16);
    AT(rit_event, code, 40);
    AT(rit_event, peer, 48);
    AT(rit_event, flow, 80);
    AT(rit_event, request, 88);
    AT(rit_target, chain, 40);
    CHECK(sizeof(struct rit_target) == 40 + 2 * sizeof(void *));
    AT(rit_grant, issued_s, 88);
    AT(rit_grant, services, 120);
    CHECK(sizeof(struct rit_grant) == 120 + 2 * sizeof(void *));
    CHECK(sizeof(struct rit_ownership) == 56);
    CHECK(sizeof(struct rit_session_info) == 120);
    AT(rit_session_info, path, 48);
    AT(rit_session_info, rtt_us, 88);
    CHECK(sizeof(struct rit_service_info) == 72);
    CHECK(sizeof(struct rit_pipe) == 80);
    AT(rit_pipe, queued_bytes, 8);
    AT(rit_pipe, forecast_bytes, 48);
    CHECK(sizeof(struct rit_path_info) == 112);
    AT(rit_path_info, path, 8);
    AT(rit_path_info, rtt_us, 48);
    AT(rit_io, ctx, 8);
    AT(rit_io, tcp_write, 8 + 10 * sizeof(void *));
    AT(rit_io, multicast, 8 + 12 * sizeof(void *));
    AT(rit_io, crypto, 16 + 12 * sizeof(void *));
    AT(rit_io, attest, 16 + 13 * sizeof(void *));
    CHECK(sizeof(struct rit_io) == 16 + 15 * sizeof(void *));
    AT(rit_crypto, ctx, 8);
    AT(rit_crypto, sha256, 8 + 7 * sizeof(void *));
    AT(rit_crypto, key_kind, 8 + 11 * sizeof(void *));
    CHECK(sizeof(struct rit_crypto) == 16 + 11 * sizeof(void *));
    AT(rit_broker, paths, 40);
    CHECK(sizeof(struct rit_broker) == 40 + 3 * sizeof(void *));
    AT(rit_service, name, 8);
    AT(rit_service, flow_idle_ms, 8 + sizeof(void *));
    CHECK(sizeof(struct rit_service) == 16 + sizeof(void *));
    return 0;
}
