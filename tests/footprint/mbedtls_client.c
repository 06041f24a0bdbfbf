/* mbedtls_client.c: a TLS client of Mbed TLS that presents a certificate and checks the server's,
 * for its size alone: it is linked and never run. */
#include "mbedtls/ctr_drbg.h"
#include "mbedtls/entropy.h"
#include "mbedtls/pk.h"
#include "mbedtls/ssl.h"
#include "mbedtls/x509_crt.h"
#if CLIENT_VERSIONS == 13
#include "psa/crypto.h"
#endif

static volatile unsigned registers[2];
static unsigned char pem[512], key[128], data[1024];

int mbedtls_hardware_poll(void *ctx, unsigned char *out, size_t len, size_t *got) {
    size_t i;

    (void)ctx;
    for (i = 0; i < len; i++)
        out[i] = (unsigned char)registers[0];
    *got = len;
    return 0;
}

static int take(void *ctx, unsigned char *buf, size_t len) {
    (void)ctx;
    buf[0] = (unsigned char)registers[1];
    return (int)len;
}

static int give(void *ctx, const unsigned char *buf, size_t len) {
    (void)ctx;
    registers[1] = buf[0];
    return (int)len;
}

int main(void) {
    static mbedtls_ssl_context ssl;
    static mbedtls_ssl_config conf;
    static mbedtls_x509_crt authority, own;
    static mbedtls_pk_context own_key;
    static mbedtls_entropy_context entropy;
    static mbedtls_ctr_drbg_context drbg;
    int len;

    mbedtls_ssl_init(&ssl);
    mbedtls_ssl_config_init(&conf);
    mbedtls_x509_crt_init(&authority);
    mbedtls_x509_crt_init(&own);
    mbedtls_pk_init(&own_key);
    mbedtls_entropy_init(&entropy);
    mbedtls_ctr_drbg_init(&drbg);
#if CLIENT_VERSIONS == 13
    if (psa_crypto_init() != PSA_SUCCESS)
        return 1;
#endif
    if (mbedtls_ctr_drbg_seed(&drbg, mbedtls_entropy_func, &entropy, NULL, 0) != 0 ||
        mbedtls_x509_crt_parse_der(&authority, pem, sizeof pem) != 0 ||
        mbedtls_x509_crt_parse_der(&own, pem, sizeof pem) != 0 ||
        mbedtls_pk_parse_key(&own_key, key, sizeof key, NULL, 0, mbedtls_ctr_drbg_random, &drbg) !=
            0 ||
        mbedtls_ssl_config_defaults(&conf, MBEDTLS_SSL_IS_CLIENT, MBEDTLS_SSL_TRANSPORT_STREAM,
                                    MBEDTLS_SSL_PRESET_DEFAULT) != 0)
        return 1;
    mbedtls_ssl_conf_rng(&conf, mbedtls_ctr_drbg_random, &drbg);
    mbedtls_ssl_conf_ca_chain(&conf, &authority, NULL);
    if (mbedtls_ssl_conf_own_cert(&conf, &own, &own_key) != 0 ||
        mbedtls_ssl_setup(&ssl, &conf) != 0)
        return 1;
    mbedtls_ssl_set_bio(&ssl, NULL, give, take, NULL);
    if (mbedtls_ssl_handshake(&ssl) != 0)
        return 1;
    while ((len = mbedtls_ssl_read(&ssl, data, sizeof data)) > 0)
        (void)mbedtls_ssl_write(&ssl, data, (size_t)len);
    return mbedtls_ssl_close_notify(&ssl);
}
