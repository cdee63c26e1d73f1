#include "json_file.h"

#include <errno.h>

#include "engine/error.h"

int json_read_file(struct env *env, const char *path, size_t bytes_max, json_t **ret_root)
{
    AUTO(buf_release) struct buf content = BUF_INIT;
    json_error_t error;
    int r = io_read_file(env, path, bytes_max, &content);

    if (r < 0)
        return r;
    *ret_root =
        json_loadb((const char *)content.data, content.size, JSON_REJECT_DUPLICATES, &error);
    if (*ret_root)
        return 0;
    /* What is wrong with the text is told; want of memory often is not. */
    if (error.text[0] == '\0' || json_error_code(&error) == json_error_out_of_memory)
        return err_new(-ENOMEM, "%s: no memory to read it", path);
    return err_new(-EUCLEAN, "%s: line %d: %s", path, error.line, error.text);
}

/* The buffer's error is sticky, whatever the caller makes of what is returned here. */
static int append(const char *text, size_t size, void *arg)
{
    struct buf *to = arg;

    buf_append(to, text, size);
    return buf_error(to);
}

int json_to_text(const json_t *root, struct buf *to)
{
    if (!root || json_dump_callback(root, append, to, JSON_INDENT(1)) < 0)
        return err_new(-ENOMEM, "no memory for the text of JSON");
    buf_append_u8(to, '\n');
    return buf_error(to);
}

json_t *json_appended(json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) == 0)
        return array;
    json_decref(array);
    return NULL;
}

uint64_t json_get_integer(struct json_fields *from, const char *name)
{
    const json_t *value = json_object_get(from->object, name);

    if (!json_is_integer(value) && !from->failed)
        from->failed = name;
    return (uint64_t)json_integer_value(value);
}

bool json_get_boolean(struct json_fields *from, const char *name)
{
    const json_t *value = json_object_get(from->object, name);

    if (!json_is_boolean(value) && !from->failed)
        from->failed = name;
    return json_is_true(value);
}

const char *json_get_string(struct json_fields *from, const char *name)
{
    const char *value = json_string_value(json_object_get(from->object, name));

    if (!value && !from->failed)
        from->failed = name;
    return value ? value : "";
}
