/*
 * Unmounting, for the daemon that was told to end and for the command.
 */
#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/error.h"
#include "fs/session.h"

extern char **environ;

static int run_fusermount(const char *mountpoint, bool detach)
{
    char program[] = "fusermount3", quiet[] = "-uq", lazy[] = "-uqz", dashes[] = "--";
    char *arguments[] = {program, detach ? lazy : quiet, dashes, (char *)mountpoint, NULL};
    pid_t pid;
    int status;
    int r = posix_spawnp(&pid, program, NULL, NULL, arguments, environ);

    if (r != 0)
        return err_new(-r, "run fusermount3: %s", strerror(r));
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return err_new(-errno, "wait for fusermount3: %s", strerror(errno));
    /* It has no exit code that tells why: not ours to unmount is rarer than files in use. */
    return status == 0 ? 0 : err_new(-EBUSY, "files are in use, or it is another user's");
}

int session_unmount(const char *mountpoint, bool detach)
{
    int flags = UMOUNT_NOFOLLOW | (detach ? MNT_DETACH : 0);

    if (geteuid() != 0)
        return run_fusermount(mountpoint, detach);
    if (umount2(mountpoint, flags) == 0)
        return 0;
    if (errno == EBUSY)
        return err_new(-EBUSY, "files are in use");
    return err_new(-errno, "%s", strerror(errno));
}
