/*
 * Java's BigInteger and BigDecimal as Cassandra stores them: varint is a big-endian two's
 * complement number of any length, decimal an i32 scale and such a number, worth number *
 * 10^-scale.
 */
#ifndef SSTFS_ROWS_DECIMAL_H
#define SSTFS_ROWS_DECIMAL_H

#include "engine/buf.h"

/**
 * Numbers of more bytes than this (some 1200 digits) are printed as hexadecimal, and decimals of
 * different scales with such numbers are compared by their bytes: neither is Cassandra's, but
 * neither takes memory or time that a damaged file decides.
 */
#define NUMBER_BYTES_MAX 512

/** By value; neither is empty. */
int varint_compare(struct bytes a, struct bytes b);
/** By value, whatever the scale (1.0 equals 1.00); neither is empty. */
int decimal_compare(struct bytes a, struct bytes b);

/** As BigInteger.toString(). */
void varint_print(struct bytes value, struct buf *buf);
/** As BigDecimal.toString(); false if it is too short to be one. */
bool decimal_print(struct bytes value, struct buf *buf);

#endif
