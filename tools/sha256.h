/*
 * SHA-256 of files, and the lines of a SHA256SUMS.
 */
#ifndef SSTFS_TOOLS_SHA256_H
#define SSTFS_TOOLS_SHA256_H

#include "engine/io.h"

#define SHA256_HEX 64

/** In hexadecimal digits, lower case. */
MUST_USE int sha256_of_file(struct env *env, const char *path, char to[SHA256_HEX + 1]);
/** The path in "<64 hexadecimal digits>  <path>", as sha256sum writes it; NULL: it is no such line,
 * or the path leads out of the folder. */
const char *sha256_line_path(const char *line);

#endif
