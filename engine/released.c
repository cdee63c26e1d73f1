#include "released.h"

#include <errno.h>
#include <stdio.h>

#include "base/crc32.h"
#include "engine/error.h"

#define LIST_BYTES_MAX (64u << 20)
#define END_FORMAT "end %08x\n"
#define END_BYTES 13u

void released_add(struct buf *list, const struct table_schema *schema, const struct sstable_id *id)
{
    char folder[TABLE_FOLDER_NAME_MAX + 1];

    table_folder_name(schema, folder);
    buf_append(list, folder, strlen(folder));
    buf_append_u8(list, '/');
    buf_append(list, id->text, strlen(id->text));
    buf_append_u8(list, '\n');
}

int released_write(struct env *env, struct buf *list)
{
    char end[END_BYTES + 1];
    int r;

    if (buf_error(list) < 0)
        return -ENOMEM;
    snprintf(end, sizeof(end), END_FORMAT, crc32_update(0, list->data, list->size));
    buf_append(list, end, END_BYTES);
    r = buf_error(list);
    if (r == 0)
        r = io_write_file(env, RELEASED_PATH ".new", buf_bytes(list), true);
    if (r == 0)
        r = io_rename(env, RELEASED_PATH ".new", RELEASED_PATH);
    if (r == 0)
        r = io_sync_directory(env, "trash");
    return r < 0 ? err_with(r, "write '%s'", RELEASED_PATH) : 0;
}

static int each_line(char *text, released_each each, void *arg)
{
    char *rest = text, *line;

    while ((line = strsep(&rest, "\n")) && *line) {
        char *slash = strchr(line, '/');
        struct sstable_id id;
        int r;

        if (!slash || strlen(slash + 1) > SSTABLE_ID_TEXT_MAX)
            return err_new(-EUCLEAN, "'%s': a line without table or id", RELEASED_PATH);
        *slash = '\0';
        strcpy(id.text, slash + 1);
        r = each(arg, line, &id);
        if (r != 0)
            return r;
    }
    return 0;
}

int released_read(struct env *env, released_each each, void *arg)
{
    AUTO(buf_release) struct buf list = BUF_INIT;
    char end[END_BYTES + 1];
    size_t lines;
    int r = io_read_file(env, RELEASED_PATH, LIST_BYTES_MAX, &list);

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    if (list.size < END_BYTES)
        return err_new(-EUCLEAN, "'%s' is cut short", RELEASED_PATH);
    lines = list.size - END_BYTES;
    snprintf(end, sizeof(end), END_FORMAT, crc32_update(0, list.data, lines));
    if (memcmp(list.data + lines, end, END_BYTES) != 0)
        return err_new(-EUCLEAN, "'%s': bad checksum", RELEASED_PATH);
    list.data[lines] = '\0';
    return each_line((char *)list.data, each, arg);
}
