#include "core/acl.h"

#include <errno.h>

#include "engine/coding.h"
#include "engine/error.h"

#define ACL_VERSION 2u
#define HEADER_BYTES 4u
#define ENTRY_BYTES 8u
#define PERMISSIONS 7u

enum acl_tag {
    TAG_USER_OBJ = 1,
    TAG_USER = 2,
    TAG_GROUP_OBJ = 4,
    TAG_GROUP = 8,
    TAG_MASK = 16,
    TAG_OTHER = 32,
};

static unsigned tag_at(const uint8_t *entry)
{
    return load_le32(entry) & 0xffff;
}

static uint32_t permissions_at(const uint8_t *entry)
{
    return load_le32(entry) >> 16;
}

static void set_permissions(uint8_t *entry, uint32_t permissions)
{
    store_le32(entry, permissions << 16 | tag_at(entry));
}

/* The first entry with the tag, or NULL. */
static uint8_t *find(uint8_t *acl, size_t size, enum acl_tag tag)
{
    for (size_t at = HEADER_BYTES; at < size; at += ENTRY_BYTES)
        if (tag_at(acl + at) == (unsigned)tag)
            return acl + at;
    return NULL;
}

bool acl_is_name(struct bytes name)
{
    return bytes_equal(name, BYTES_LITERAL(ACL_ACCESS_NAME)) ||
           bytes_equal(name, BYTES_LITERAL(ACL_DEFAULT_NAME));
}

int acl_check(struct bytes acl)
{
    unsigned counts[TAG_OTHER + 1] = {0};

    if (acl.size < HEADER_BYTES || load_le32(acl.data) != ACL_VERSION ||
        (acl.size - HEADER_BYTES) % ENTRY_BYTES)
        return err_new(-EINVAL, "an ACL of %zu bytes that is none", acl.size);
    for (size_t at = HEADER_BYTES; at < acl.size; at += ENTRY_BYTES) {
        unsigned tag = tag_at(acl.data + at);

        if (tag == 0 || tag > TAG_OTHER || (tag & (tag - 1)) ||
            permissions_at(acl.data + at) > PERMISSIONS)
            return err_new(-EINVAL, "an ACL with an entry of tag %u", tag);
        counts[tag]++;
    }
    if (counts[TAG_USER_OBJ] != 1 || counts[TAG_GROUP_OBJ] != 1 || counts[TAG_OTHER] != 1 ||
        counts[TAG_MASK] > 1 || (counts[TAG_USER] + counts[TAG_GROUP] > 0 && !counts[TAG_MASK]))
        return err_new(-EINVAL, "an ACL without owner, group, other or mask");
    return 0;
}

/* The entry whose permissions are the group's in a mode. */
static uint8_t *group_class(uint8_t *acl, size_t size)
{
    uint8_t *mask = find(acl, size, TAG_MASK);

    return mask ? mask : find(acl, size, TAG_GROUP_OBJ);
}

uint32_t acl_mode(struct bytes acl)
{
    uint8_t *entries = (uint8_t *)(uintptr_t)acl.data; /* only read */

    return permissions_at(find(entries, acl.size, TAG_USER_OBJ)) << 6 |
           permissions_at(group_class(entries, acl.size)) << 3 |
           permissions_at(find(entries, acl.size, TAG_OTHER));
}

bool acl_is_minimal(struct bytes acl)
{
    return acl.size == HEADER_BYTES + 3 * ENTRY_BYTES;
}

void acl_set_mode(uint8_t *acl, size_t size, uint32_t mode)
{
    set_permissions(find(acl, size, TAG_USER_OBJ), mode >> 6 & PERMISSIONS);
    set_permissions(group_class(acl, size), mode >> 3 & PERMISSIONS);
    set_permissions(find(acl, size, TAG_OTHER), mode & PERMISSIONS);
}

uint32_t acl_inherit(uint8_t *acl, size_t size, uint32_t mode)
{
    uint32_t both = mode & acl_mode(bytes_of(acl, size));

    acl_set_mode(acl, size, both);
    return (mode & ~0777u) | both;
}
