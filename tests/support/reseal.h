/*
 * Checksums of an SSTable's components made to fit what was done to them: damage that no checksum
 * shows, as only malice or a bug makes it, reaches what lies behind them.
 */
#ifndef SSTFS_TESTS_RESEAL_H
#define SSTFS_TESTS_RESEAL_H

#include "engine/buf.h"
#include "engine/sstable.h"

/**
 * Of each chunk of Data.db, of CRC.db, of the parts of Statistics.db, and last Digest.crc32 for all
 * of them. What is too damaged to be found stays as it is. A component without bytes is not there.
 */
void sstable_reseal(struct buf contents[COMPONENT_COUNT]);

#endif
