/*
 * SHA-256 sums of the SSTables' components, kept over restarts: an SSTable never changes, so that
 * it is read for its sums once in its life.
 *
 *   sums   the lines of the newest snapshot's SHA256SUMS that are of SSTables | end <crc32>
 *
 * SSTables that are older and not in it are not live, and no new snapshot asks for them. A file
 * that is lost or damaged means no more than that sums are computed again.
 */
#ifndef SSTFS_ENGINE_SUMS_H
#define SSTFS_ENGINE_SUMS_H

#include "engine/buf.h"
#include "engine/io.h"

#define SUMS_PATH "sums"
#define SHA256_BYTES 32

/** What was kept; zeroed: nothing. */
struct sums {
    struct buf text;
    const char **lines; /* into `text`, ordered by path */
    size_t count;
};

/** "<64 hexadecimal digits>  <path>\n" at the end of `to`, as sha256sum writes it. */
void sums_add(struct buf *to, const uint8_t sum[SHA256_BYTES], const char *path);
/** Replaces the file by `lines`, of sums_add(); whole or not at all, whatever crashes. */
MUST_USE int sums_write(struct env *env, struct bytes lines);
/** -ENOENT: there is none; -EUCLEAN: it is damaged. To be given to sums_release(). */
MUST_USE int sums_read(struct env *env, struct sums *ret_sums);
/** False: no sum of that path is known. */
bool sums_find(const struct sums *sums, const char *path, uint8_t to[SHA256_BYTES]);
void sums_release(struct sums *sums);

#endif
