/*
 * Files of JSON: one object, read whole, and its fields with a sticky failure, as a decoder's.
 * Whoever has no memory is told so, never that the file is damaged.
 */
#ifndef SSTFS_ENGINE_JSON_FILE_H
#define SSTFS_ENGINE_JSON_FILE_H

#include <jansson.h>

#include "engine/buf.h"
#include "engine/io.h"

static inline void json_freep(json_t **json)
{
    json_decref(*json);
}

/** The file at `path`, of `bytes_max` at most. -EUCLEAN: not JSON; -ENOMEM; as io_read_file(). */
MUST_USE int json_read_file(struct env *env, const char *path, size_t bytes_max, json_t **ret_root);

/**
 * The text of `root`, indented, and a newline. NULL, or no memory for it: -ENOMEM. json_dumps()
 * forgets a key that it finds no memory for, and goes on.
 */
MUST_USE int json_to_text(const json_t *root, struct buf *to);

/** Appends `value`, taking it over. Either NULL, or no memory: frees both and gives NULL. */
MUST_USE json_t *json_appended(json_t *array, json_t *value);

struct json_fields {
    const json_t *object;
    const char *failed; /* the first field that is missing or of a wrong kind; NULL: none */
};

uint64_t json_get_integer(struct json_fields *from, const char *name);
bool json_get_boolean(struct json_fields *from, const char *name);
/** Lives as long as the object; "" when there is none. */
const char *json_get_string(struct json_fields *from, const char *name);

#endif
