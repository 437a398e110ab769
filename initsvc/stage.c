/* stage.c - the names of the stages of a start.  Pure; linked into initsvc and hostd. */
#include "initsvc/contract.h"

static const char *const names[] = {
    [STAGE_NONE] = "none",       [STAGE_NETNS] = "netns",       [STAGE_LINKS] = "links",
    [STAGE_CGROUP] = "cgroup",   [STAGE_CLONE] = "clone",       [STAGE_IDMAP] = "idmap",
    [STAGE_MOUNTS] = "mounts",   [STAGE_SETUP] = "setup",       [STAGE_IDS] = "ids",
    [STAGE_PARENT] = "parent",   [STAGE_ROOT] = "root",         [STAGE_LISTEN] = "listen",
    [STAGE_CONNECT] = "connect", [STAGE_RING] = "ring",         [STAGE_CONTRACT] = "contract",
    [STAGE_LIMITS] = "limits",   [STAGE_CAPS] = "capabilities", [STAGE_LANDLOCK] = "landlock",
    [STAGE_SECCOMP] = "seccomp", [STAGE_EXEC] = "exec",         [STAGE_CONFINE] = "confine",
    [STAGE_READY] = "ready",
};
_Static_assert(sizeof names / sizeof names[0] == STAGE_COUNT, "a name for every stage");

const char *init_stage_name(enum init_stage stage)
{
    return (unsigned)stage < STAGE_COUNT ? names[stage] : "unknown";
}
