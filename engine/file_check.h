/*
 * Are the files of SSTables there, in their sizes? No content is read. The rest of it is in
 * engine/engine.h: engine_check_files(), engine_check_snapshot_files().
 */
#ifndef SSTFS_ENGINE_FILE_CHECK_H
#define SSTFS_ENGINE_FILE_CHECK_H

#include "state.h"

/** "sstfs/blocks-5f5f…/nb-…-big-Data.db": as it lies in the folder of a snapshot. */
#define SSTABLE_FILE_PATH_BYTES (DATA_FOLDER_MAX + SSTABLE_FILE_NAME_MAX + 2)
void sstable_file_path(const struct table_schema *schema, const struct sstable_id *id,
    enum sstable_component component, char path[SSTABLE_FILE_PATH_BYTES]);

/** Of a snapshot's folder, by what snapshot.json says. -EUCLEAN: one is not there, or of another
 * size; the words name the first. */
MUST_USE int snapshot_files_check(
    struct env *env, const struct table_schema *tables, const struct snapshot_facts *facts);

#endif
