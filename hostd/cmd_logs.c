/* cmd_logs.c - `hostd logs`: what services printed, from their log files; needs no running hostd. */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hostd/app.h"
#include "hostd/client.h"
#include "hostd/cmd.h"
#include "hostd/options.h"
#include "hostd/since.h"
#include "rpc/base/own.h"

/* Services that have log files, by name. */
static int list_services(const char *run_dir, char names[MANIFEST_SERVICES_MAX][NAME_BYTES], struct err *e)
{
    char path[APP_PATH_BYTES + 8];
    size_t count = 0;
    (void)snprintf(path, sizeof path, "%s/logs", run_dir);
    DIR *directory = opendir(path);
    if (!directory)
        return err_sys(e, -errno, "open %s", path);
    for (struct dirent *entry; count < MANIFEST_SERVICES_MAX && (entry = readdir(directory));) {
        size_t bytes = strlen(entry->d_name);
        if (bytes < 3 || bytes - 2 >= NAME_BYTES || strcmp(entry->d_name + bytes - 2, ".0") != 0)
            continue; /* each service has a file ".0" and a file ".1" */
        memcpy(names[count], entry->d_name, bytes - 2);
        names[count++][bytes - 2] = '\0';
    }
    (void)closedir(directory);
    qsort(names, count, NAME_BYTES, (int (*)(const void *, const void *))strcmp);
    return (int)count;
}

static int show(const char *app_name, const char *service, const struct logtail_options *options, bool is_following,
                struct err *e)
{
    char run_dir[APP_PATH_BYTES];
    FREE_AUTO char(*names)[NAME_BYTES] = calloc(MANIFEST_SERVICES_MAX, NAME_BYTES);
    if (!names)
        return err_set(e, -ENOMEM, "no memory");
    (void)snprintf(run_dir, sizeof run_dir, "%s/%s", run_root(), app_name);
    int count = list_services(run_dir, names, e);
    if (count < 0)
        return count;
    if (service) { /* one of the list: client_check_service() */
        int found = 0;
        while (found < count && strcmp(names[found], service) != 0)
            found++;
        if (found == count)
            return err_set(e, -ENOENT, "service '%s' of application '%s' has no log yet", service, app_name);
        memmove(names[0], names[found], NAME_BYTES);
        count = 1;
    }
    struct logtail *tail = NULL;
    int result = logtail_open(run_dir, (const char(*)[NAME_BYTES])names, (size_t)count, options, &tail, e);
    if (result < 0)
        return result;
    (void)logtail_print(tail); /* waits for the output: nothing is left */
    while (is_following && !logtail_out_errno(tail)) {
        struct pollfd changed[] = {{.fd = logtail_fd(tail), .events = POLLIN}, {.fd = STDOUT_FILENO}};
        (void)poll(changed, ARRAY_COUNT(changed), 1000);
        is_following = !logtail_is_over(tail) && !(changed[1].revents & (POLLERR | POLLHUP));
        (void)logtail_print(tail);
    }
    int code = -logtail_out_errno(tail);
    logtail_free(tail);
    return code < 0 ? err_sys(e, code == -EINVAL ? -EIO : code, "cannot print") : 0;
}

int cmd_logs(int argc, char **argv)
{
    static const struct option known[] = {
        {"app", required_argument, NULL, 'a'},
        {"follow", no_argument, NULL, 'f'},
        {"since", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {NULL, 0, NULL, 0},
    };
    struct logtail_options options = {
        .out_fd = STDOUT_FILENO, .with_time = true, .is_colored = logtail_may_color(STDOUT_FILENO)};
    const char *app_name = NULL;
    bool is_following = false;
    for (int c; (c = option_next(argc, argv, "f", known)) != -1;) {
        switch (c) {
        case 'a':
            app_name = optarg;
            break;
        case 'f':
            is_following = true;
            break;
        case 'j':
            options.is_json = true;
            break;
        case 's':
            if (since_parse(optarg, since_now_ms(), &options.since_ms) < 0)
                return cmd_wrong(argv[0], "--since takes " SINCE_FORMS);
            break;
        default:
            return 2;
        }
    }
    if (optind + 1 < argc)
        return cmd_wrong(argv[0], "one SERVICE at most");
    char name[NAME_BYTES];
    struct err e = {0};
    int result = client_choose(app_name, name, &e);
    if (result == 0 && argv[optind])
        result = client_check_service(name, argv[optind], &e);
    if (result == 0)
        result = show(name, argv[optind], &options, is_following, &e);
    return result < 0 ? client_fail(argv[0], result, &e) : 0;
}
