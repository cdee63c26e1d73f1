/*
 * POSIX access control lists as extended attributes hold them (POSIX 1003.1e draft 17; layout:
 * linux/posix_acl_xattr.h): le32 version 2, then entries of le16 tag, le16 permissions, le32 id.
 *
 * The kernel checks access by them. What it leaves to a FUSE file system (linux fs/fuse/acl.c) is
 * here: the mode that an access ACL says, the ACL after a chmod, and what a new inode inherits.
 */
#ifndef SSTFS_FS_CORE_ACL_H
#define SSTFS_FS_CORE_ACL_H

#include "engine/auto.h"
#include "engine/bytes.h"

#define ACL_ACCESS_NAME "system.posix_acl_access"
#define ACL_DEFAULT_NAME "system.posix_acl_default"

/** Whether an extended attribute of that name is an ACL. */
bool acl_is_name(struct bytes name);
/** -EINVAL: this is no ACL. All below want one that passed. */
MUST_USE int acl_check(struct bytes acl);
/** The nine permission bits that it stands for: its mask, if it has one, is the group's. */
uint32_t acl_mode(struct bytes acl);
/** Whether it says no more than the nine bits do. */
bool acl_is_minimal(struct bytes acl);
/** As chmod does: its owner, mask (without one: group) and other entries are made those of `mode`.
 */
void acl_set_mode(uint8_t *acl, size_t size, uint32_t mode);
/**
 * Makes the default ACL of a directory the access ACL of an inode made there with `mode`: both
 * keep only what the other permits too. Returns the mode.
 */
uint32_t acl_inherit(uint8_t *acl, size_t size, uint32_t mode);

#endif
