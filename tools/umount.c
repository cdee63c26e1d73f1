/*
 * sstfs umount: returns when the store is closed, so that it may be mounted again, copied, or
 * unplugged.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "engine/error.h"
#include "fs/session.h"
#include "mountinfo.h"
#include "tools.h"

/* Held by the daemon as long as it has the store open; a snapshot that is mounted has none. */
static int wait_for_store(const char *store)
{
    AUTO(freep) char *path = NULL;
    int fd, r = 0;

    if (asprintf(&path, "%s/LOCK", store) < 0)
        return -ENOMEM;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : err_new(-errno, "open '%s': %s", path, strerror(errno));
    while (flock(fd, LOCK_SH) < 0)
        if (errno != EINTR) {
            r = err_new(-errno, "lock '%s': %s", path, strerror(errno));
            break;
        }
    close(fd);
    return r;
}

int command_umount(int argc, char **argv)
{
    struct mount mount = {0};
    bool detach = false;
    int option, r, code = EXIT_DONE;

    while ((option = getopt(argc, argv, "l")) != -1) {
        if (option != 'l')
            return complain_usage(argv[0]);
        detach = true;
    }
    if (optind + 1 != argc)
        return complain_usage(argv[0]);
    r = mount_of(argv[optind], &mount);
    if (r < 0)
        return complain_of(r, "umount");
    r = session_unmount(mount.mountpoint, detach);
    if (r < 0)
        code = complain_of(r, "umount '%s'", mount.mountpoint);
    /* Detached, it goes on serving whoever has files open: nothing to wait for. */
    if (r >= 0 && !detach) {
        r = wait_for_store(mount.source);
        if (r < 0)
            code = complain_of(r, "unmounted '%s', but cannot see the end", mount.mountpoint);
    }
    mount_release(&mount);
    return code;
}
