/*
 * sstfs log dump: the mutations of a commit log, as JSON.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/error.h"
#include "engine/log.h"
#include "engine/log_dump.h"
#include "fs/fs.h"
#include "tools.h"

static int print(void *arg, struct buf *text)
{
    (void)arg;
    if (fwrite(text->data, 1, text->size, stdout) != text->size)
        return err_new(-errno, "write the output: %s", strerror(errno));
    buf_clear(text);
    return 0;
}

/* `file` NULL: of a store, or of a folder of segments. */
static int dump(const char *folder, const char *file, bool is_store)
{
    struct env *env = NULL;
    uint64_t holes = 0;
    int r = env_posix_new(folder, &env);

    if (r >= 0 && is_store)
        r = engine_dump_log(env, fs_tables, FS_TABLE_COUNT, print, NULL, &holes);
    else if (r >= 0)
        r = engine_dump_segments(env, file, fs_tables, FS_TABLE_COUNT, print, NULL, &holes);
    env_free(env);
    if (r >= 0)
        r = flush_output();
    if (r == -EBUSY)
        return complain(EXIT_IN_USE, "'%s' is mounted: %s", folder, err_text(r));
    if (r < 0)
        return complain_of(r, "dump the log of '%s'", file ? file : folder);
    return holes > 0 ? EXIT_DAMAGE : EXIT_DONE;
}

static int dump_file(const char *path)
{
    AUTO(freep) char *whole = NULL;
    char *slash;
    int r = absolute_path(path, &whole);

    if (r < 0)
        return complain_of(r, "log dump");
    slash = strrchr(whole, '/');
    *slash = '\0';
    return dump(*whole ? whole : "/", slash + 1, false);
}

int command_log(int argc, char **argv)
{
    struct stat status;
    int kind;

    if (argc != 3 || strcmp(argv[1], "dump") != 0)
        return complain_usage(argv[0]);
    log_set_level(LOG_LEVEL_WARNING);
    if (stat(argv[2], &status) == 0 && S_ISREG(status.st_mode))
        return dump_file(argv[2]);
    kind = folder_kind(argv[2]);
    if (kind == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", argv[2]);
    if (kind < 0)
        return complain_of(kind, "log dump");
    if (kind != FOLDER_STORE && kind != FOLDER_OTHER)
        return complain(EXIT_NOT_A_STORE,
            "'%s' is neither a store nor a folder of log segments, nor one of these", argv[2]);
    return dump(argv[2], NULL, kind == FOLDER_STORE);
}
