#include "json_text.h"

#include <errno.h>
#include <string.h>

#include "engine/buf.h"
#include "engine/error.h"
#include "tools.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* Bytes of the character at `text`, by RFC 3629; 0: it is none. */
static size_t character_bytes(const unsigned char *text)
{
    unsigned char first = text[0], low = 0x80, high = 0xbf;
    size_t size = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

    if (first > 0xf4)
        return 0;
    if (first == 0xe0)
        low = 0xa0; /* shorter forms exist */
    else if (first == 0xed)
        high = 0x9f; /* surrogates */
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f; /* beyond Unicode */
    for (size_t i = 1; i < size; i++, low = 0x80, high = 0xbf)
        if (text[i] < low || text[i] > high)
            return 0;
    return size;
}

json_t *json_of_name(const char *name)
{
    AUTO(buf_release) struct buf text = BUF_INIT;

    while (*name) {
        size_t size = character_bytes((const unsigned char *)name);

        if (size == 0)
            buf_append(&text, REPLACEMENT, strlen(REPLACEMENT));
        else
            buf_append(&text, name, size);
        name += size ? size : 1;
    }
    buf_append_u8(&text, 0);
    return buf_error(&text) < 0 ? NULL : json_string((const char *)text.data);
}

void json_append_name(json_t *object, const char *name, const char *text)
{
    json_t *list = json_object_get(object, name);

    if (!list) {
        json_object_set_new(object, name, json_array());
        list = json_object_get(object, name);
    }
    json_array_append_new(list, json_of_name(text));
}

int print_json(json_t *document, int code)
{
    int r = document ? 0 : -ENOMEM;

    if (r == 0) {
        json_dumpf(document, stdout, JSON_INDENT(2));
        putchar('\n');
        r = flush_output();
    }
    json_decref(document);
    return r < 0 ? complain(exit_code_of(r), "%s", err_text(r)) : code;
}
