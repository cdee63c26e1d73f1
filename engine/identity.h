/*
 * store.json: who a store is. LOCK: who has it open.
 */
#ifndef SSTFS_ENGINE_IDENTITY_H
#define SSTFS_ENGINE_IDENTITY_H

#include "engine/engine.h"

/** "5f5f6e00-0000-1000-8000-73737466730a" and the final zero. */
#define UUID_TEXT_BYTES 37
void uuid_text(const uint8_t uuid[16], char to[UUID_TEXT_BYTES]);
bool uuid_parse_text(const char *text, uint8_t to[16]);

/** A new uuid and node number. */
void identity_make(struct env *env, struct store_identity *to);
/** In one step, of what was there too; the directory is not synced. */
MUST_USE int identity_write(struct env *env, const struct store_identity *identity);
/** -ENOTDIR: there is no store.json; -EPROTO: of a newer format. */
MUST_USE int identity_read(struct env *env, struct store_identity *ret_identity);

MUST_USE int lock_create(struct env *env);
/** -EBUSY: another process has it; the text says which. -ENOTDIR: a copy of an open store. */
MUST_USE int lock_take(struct env *env, bool read_only, int *ret_fd);
/** At the end of a clean close. */
void lock_release(struct env *env, bool read_only, int fd);

#endif
