/*
 * runlist.h - the service list that a running application was started from: two files of its run directory.
 *
 *   list      path of the TOML file, for "FILE:LINE"
 *   manifest  the parsed list (manifest.h), as it was at the start: the file may have been edited since
 *
 * Written by `hostd start`; read by commands that explain what runs.
 */
#ifndef HOSTD_RUNLIST_H
#define HOSTD_RUNLIST_H

#include "hostd/manifest.h"

#define RUNLIST_PATH_BYTES 4096u /* PATH_MAX */

struct app;
/* Also sets app->list. */
int runlist_write(struct app *app, const char *path, const struct manifest *manifest, struct err *e);

/* free() *ret_manifest.  -ENOENT: that application does not run. */
int runlist_read(const char *app_name, char ret_path[RUNLIST_PATH_BYTES], struct manifest **ret_manifest,
                 struct err *e);

#endif
