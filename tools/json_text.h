/*
 * JSON that commands print: one document each.
 */
#ifndef SSTFS_TOOLS_JSON_TEXT_H
#define SSTFS_TOOLS_JSON_TEXT_H

#include <jansson.h>

#include "engine/auto.h"

/** Bytes of a name or path as a string: what is no UTF-8 in it becomes U+FFFD. NULL: no memory. */
json_t *json_of_name(const char *name);
/** Appends it to the array `name` of the object, which gets one if it has none. */
void json_append_name(json_t *object, const char *name, const char *text);
/** Prints the document, which is taken over (NULL: no memory), and returns the command's exit code
 * `code`; another if it could not be written, which is said. */
MUST_USE int print_json(json_t *document, int code);

#endif
