/* secret.c - see secret.h. */
#include "apps/zoobar/auth/secret.h"

#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#define SCRYPT_R 8u
#define SCRYPT_P 1u

/* Fetched once: fetching looks algorithms up under a lock. */
static EVP_KDF *scrypt;
static EVP_MD *sha256;

int secret_init(struct err *e)
{
    unsigned char probe[1];
    /* There is no /usr/lib/ssl/openssl.cnf in a service's root, and none is wanted. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return err_set(e, -EIO, "libcrypto does not start");
    if (!scrypt)
        scrypt = EVP_KDF_fetch(NULL, "SCRYPT", NULL);
    if (!sha256)
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (!scrypt || !sha256)
        return err_set(e, -EIO, "libcrypto has no %s", scrypt ? "SHA-256" : "scrypt");
    if (RAND_bytes(probe, sizeof probe) != 1)
        return err_set(e, -EIO, "libcrypto gets no random numbers (getrandom)");
    return 0;
}

static void to_hex(const unsigned char *bytes, size_t count, char *text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t k = 0; k < count; k++) {
        text[2 * k] = digits[bytes[k] >> 4];
        text[2 * k + 1] = digits[bytes[k] & 15];
    }
    text[2 * count] = 0;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Exactly 2 * count lower-case digits. */
static bool from_hex(const char *text, unsigned char *bytes, size_t count)
{
    if (strnlen(text, 2 * count + 1) != 2 * count)
        return false;
    for (size_t k = 0; k < count; k++) {
        int high = digit_of(text[2 * k]), low = digit_of(text[2 * k + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[k] = (unsigned char)(high << 4 | low);
    }
    return true;
}

bool secret_is_password(const char *password)
{
    size_t bytes = strnlen(password, SECRET_PASSWORD_BYTES_MAX + 1);
    return bytes >= 1 && bytes <= SECRET_PASSWORD_BYTES_MAX;
}

static int derive(const char *password, const unsigned char salt[SECRET_SALT_BYTES], int log2_n,
                  unsigned char hash[SECRET_HASH_BYTES])
{
    uint64_t n = (uint64_t)1 << log2_n, memory_bytes = SECRET_MEMORY_BYTES(log2_n) + (1u << 20);
    uint32_t r = SCRYPT_R, p = SCRYPT_P;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD, (void *)password, strlen(password)),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)salt, SECRET_SALT_BYTES),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_N, &n),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_R, &r),
        OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_SCRYPT_P, &p),
        OSSL_PARAM_construct_uint64(OSSL_KDF_PARAM_SCRYPT_MAXMEM, &memory_bytes),
        OSSL_PARAM_END,
    };
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(scrypt);
    if (!context)
        return -ENOMEM;
    int is_done = EVP_KDF_derive(context, hash, SECRET_HASH_BYTES, params);
    EVP_KDF_CTX_free(context);         /* wipes its copy of the password */
    return is_done == 1 ? 0 : -ENOMEM; /* 32 MiB not to be had is the one way for it to fail with these numbers */
}

int secret_make(const char *password, int log2_n, struct secret *ret_secret)
{
    unsigned char salt[SECRET_SALT_BYTES], hash[SECRET_HASH_BYTES];
    if (!secret_is_password(password) || log2_n < SECRET_LOG2_N_MIN || log2_n > SECRET_LOG2_N_MAX)
        return -EINVAL;
    if (RAND_bytes(salt, sizeof salt) != 1)
        return -EIO;
    int result = derive(password, salt, log2_n, hash);
    if (!result) {
        to_hex(hash, sizeof hash, ret_secret->hash);
        to_hex(salt, sizeof salt, ret_secret->salt);
        ret_secret->log2_n = log2_n;
    }
    OPENSSL_cleanse(hash, sizeof hash);
    return result;
}

int secret_matches(const struct secret *secret, const char *password)
{
    unsigned char salt[SECRET_SALT_BYTES], hash[SECRET_HASH_BYTES], kept[SECRET_HASH_BYTES];
    if (!secret_is_password(password) || !from_hex(secret->salt, salt, sizeof salt) ||
        !from_hex(secret->hash, kept, sizeof kept) || secret->log2_n < SECRET_LOG2_N_MIN ||
        secret->log2_n > SECRET_LOG2_N_MAX)
        return -EINVAL;
    int result = derive(password, salt, secret->log2_n, hash);
    if (!result && CRYPTO_memcmp(hash, kept, sizeof hash) != 0)
        result = -EACCES;
    OPENSSL_cleanse(hash, sizeof hash);
    return result;
}

int secret_make_dummy(int log2_n, struct secret *ret_secret)
{
    unsigned char random[SECRET_SALT_BYTES + SECRET_HASH_BYTES];
    if (RAND_bytes(random, sizeof random) != 1)
        return -EIO;
    to_hex(random, SECRET_SALT_BYTES, ret_secret->salt);
    to_hex(random + SECRET_SALT_BYTES, SECRET_HASH_BYTES, ret_secret->hash);
    ret_secret->log2_n = log2_n;
    return 0;
}

int secret_token_make(struct secret_token *ret_token)
{
    unsigned char random[SECRET_TOKEN_BYTES];
    if (RAND_bytes(random, sizeof random) != 1)
        return -EIO;
    to_hex(random, sizeof random, ret_token->text);
    OPENSSL_cleanse(random, sizeof random);
    return 0;
}

int secret_token_hash(const char *token, struct secret_token_hash *ret_hash)
{
    unsigned char bytes[SECRET_TOKEN_BYTES], hash[SECRET_HASH_BYTES];
    if (!from_hex(token, bytes, sizeof bytes))
        return -EINVAL;
    /* No salt and no slowness: a token has 256 random bits, there is nothing to guess. */
    if (EVP_Digest(token, 2 * sizeof bytes, hash, NULL, sha256, NULL) != 1)
        return -EIO;
    to_hex(hash, sizeof hash, ret_hash->text);
    return 0;
}

bool secret_token_hash_equal(const struct secret_token_hash *a, const struct secret_token_hash *b)
{
    return CRYPTO_memcmp(a->text, b->text, sizeof a->text) == 0;
}
