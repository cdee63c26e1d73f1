/*
 * sstfs log dump: the mutations of a commit log, as JSON.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/error.h"
#include "engine/log.h"
#include "engine/log_dump.h"
#include "fs/fs.h"
#include "tools.h"

static int print(void *arg, struct buf *text)
{
    (void)arg;
    if (fwrite(text->data, 1, text->size, stdout) != text->size)
        return err_new(-EIO, "write: %s", strerror(errno));
    buf_clear(text);
    return 0;
}

static int dump(const char *folder, bool is_bare)
{
    struct env *env = NULL;
    uint64_t holes = 0;
    int r = env_posix_new(folder, &env);

    if (r >= 0)
        r = engine_dump_log(env, fs_tables, FS_TABLE_COUNT, is_bare, print, NULL, &holes);
    env_free(env);
    if (r >= 0 && fflush(stdout) != 0)
        r = err_new(-EIO, "write: %s", strerror(errno));
    if (r == -EBUSY)
        return complain(EXIT_IN_USE, "'%s' is mounted: %s", folder, err_text(r));
    if (r < 0)
        return complain_of(r, "dump the log of '%s'", folder);
    return holes > 0 ? EXIT_DAMAGE : EXIT_DONE;
}

/* A folder of segments, of any name: it is looked at as the log of a store would be. */
static int dump_segments(const char *folder)
{
    char place[] = "/tmp/sstfs-log-XXXXXX";
    char link[sizeof(place) + sizeof("/commitlog")];
    AUTO(freep) char *path = NULL;
    int r = absolute_path(folder, &path);
    int code;

    if (r < 0)
        return complain_of(r, "log dump");
    if (!mkdtemp(place))
        return complain_of(err_new(-errno, "%s", strerror(errno)), "make a folder in /tmp");
    snprintf(link, sizeof(link), "%s/commitlog", place);
    if (symlink(path, link) < 0)
        code = complain_of(err_new(-errno, "%s", strerror(errno)), "link '%s'", folder);
    else
        code = dump(place, true);
    unlink(link);
    rmdir(place);
    return code;
}

int command_log(int argc, char **argv)
{
    int kind;

    if (argc != 3 || strcmp(argv[1], "dump") != 0)
        return complain_usage(argv[0]);
    kind = folder_kind(argv[2]);
    if (kind == FOLDER_MISSING)
        return complain(EXIT_NOT_FOUND, "'%s' does not exist", argv[2]);
    if (kind < 0)
        return complain_of(kind, "log dump");
    if (kind != FOLDER_STORE && kind != FOLDER_OTHER)
        return complain(
            EXIT_NOT_A_STORE, "'%s' is neither a store nor a folder of log segments", argv[2]);
    log_set_level(LOG_LEVEL_WARNING);
    return kind == FOLDER_STORE ? dump(argv[2], false) : dump_segments(argv[2]);
}
