/* TlsPeer: a TLS server on a free loopback port with a certificate made on the spot. */
#pragma once
#include "support/peer.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

typedef struct TlsPeer {
    int listener, port;
    SSL_CTX *context;
    pthread_t thread;
    atomic_bool end;
} TlsPeer;

static inline void *tls_peer_main(void *argument) {
    TlsPeer *peer = argument;
    while (!atomic_load(&peer->end)) {
        struct pollfd ready = {.fd = peer->listener, .events = POLLIN};
        if (poll(&ready, 1, 10) <= 0) continue;
        int fd = accept4(peer->listener, NULL, NULL, SOCK_CLOEXEC);
        struct timeval patience = {.tv_sec = 20};
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        SSL *connection = SSL_new(peer->context);
        SSL_set_fd(connection, fd);
        SSL_accept(connection);
        SSL_free(connection);
        close(fd);
    }
    return NULL;
}

static inline X509 *tls_certificate(EVP_PKEY *key, const char *names, long valid_s) {
    X509 *certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -86400);
    X509_gmtime_adj(X509_getm_notAfter(certificate), valid_s);
    X509_set_pubkey(certificate, key);
    X509_NAME *name = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"upkeep test", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    assert_non_null(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    assert_true(X509_sign(certificate, key, EVP_sha256()) > 0);
    return certificate;
}

/* `names` as OpenSSL writes them: "IP:127.0.0.1,DNS:localhost". The certificate signs itself, is valid for
 * `valid_s` from now on, and is written to `ca` for clients to trust. */
static inline void tls_peer_start(TlsPeer *peer, const char *names, long valid_s, const char *ca) {
    memset(peer, 0, sizeof *peer);
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = tls_certificate(key, names, valid_s);
    FILE *file = fopen(ca, "we");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
    peer->context = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_certificate(peer->context, certificate), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(peer->context, key), 1);
    X509_free(certificate);
    EVP_PKEY_free(key);
    peer->listener = peer_listen(&peer->port);
    assert_int_equal(pthread_create(&peer->thread, NULL, tls_peer_main, peer), 0);
}

static inline void tls_peer_end(TlsPeer *peer) {
    atomic_store(&peer->end, true);
    pthread_join(peer->thread, NULL);
    SSL_CTX_free(peer->context);
    close(peer->listener);
}
