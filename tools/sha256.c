#include "sha256.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#define READ_BYTES (1u << 20)
#define SHA256_BYTES 32u

static int digest_file(struct env *env, const char *path, uint8_t to[SHA256_BYTES])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    AUTO(freep) uint8_t *bytes = malloc(READ_BYTES);
    uint64_t offset = 0;
    int64_t n = 0;
    int fd = -1, r;

    r = context && bytes ? io_open(env, path, O_RDONLY, &fd) : -ENOMEM;
    if (r >= 0 && EVP_DigestInit_ex(context, EVP_sha256(), NULL) != 1)
        r = -ENOMEM;
    while (r >= 0 && (n = io_read(env, fd, bytes, READ_BYTES, offset)) > 0) {
        offset += (uint64_t)n;
        if (EVP_DigestUpdate(context, bytes, (size_t)n) != 1)
            r = -ENOMEM;
    }
    if (r >= 0 && n < 0)
        r = (int)n;
    if (r >= 0 && EVP_DigestFinal_ex(context, to, NULL) != 1)
        r = -ENOMEM;
    if (fd >= 0)
        io_close(env, fd);
    EVP_MD_CTX_free(context);
    return r;
}

int sha256_of_file(struct env *env, const char *path, char to[SHA256_HEX + 1])
{
    uint8_t digest[SHA256_BYTES];
    int r = digest_file(env, path, digest);

    if (r < 0)
        return r;
    for (size_t i = 0; i < SHA256_BYTES; i++)
        snprintf(to + 2 * i, 3, "%02x", digest[i]);
    return 0;
}

static bool path_is_inside(const char *path)
{
    return *path && *path != '/' && strcmp(path, "..") != 0 && strncmp(path, "../", 3) != 0 &&
           !strstr(path, "/../");
}

const char *sha256_line_path(const char *line)
{
    const char *path = line + SHA256_HEX + 2;

    if (strlen(line) < SHA256_HEX + 3 || strspn(line, "0123456789abcdefABCDEF") != SHA256_HEX ||
        line[SHA256_HEX] != ' ' || !path_is_inside(path))
        return NULL;
    return path;
}
