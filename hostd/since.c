/* since.c - see since.h. */
#include "hostd/since.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define DIGITS_MAX 9 /* of how long ago: thirty years of seconds */

/* Exactly `count` digits; *at moves behind them. */
static bool take_digits(const char **at, int count, int *ret_value)
{
    int value = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        value = value * 10 + (**at - '0');
    }
    *ret_value = value;
    return true;
}

static bool take(const char **at, const char *one_of)
{
    if (**at == '\0' || !strchr(one_of, **at))
        return false;
    (*at)++;
    return true;
}

static int parse_ago(const char *text, uint64_t now_ms, uint64_t *ret_ms)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"", 1000}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    if (digits == 0 || digits > DIGITS_MAX)
        return -EINVAL;
    for (size_t i = 0; i < digits; i++)
        number = number * 10 + (uint64_t)(text[i] - '0');
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(text + digits, units[i].unit) == 0) {
            uint64_t ago_ms = number * units[i].ms;
            *ret_ms = ago_ms < now_ms ? now_ms - ago_ms : 0;
            return 0;
        }
    return -EINVAL;
}

/* What follows the day: "T12:00:00", a fraction, and the zone. */
static bool take_clock(const char **at, struct tm *parts, int *ret_ms, int *ret_zone_s)
{
    int hours, minutes;
    if (!take(at, "Tt ") || !take_digits(at, 2, &parts->tm_hour) || !take(at, ":") ||
        !take_digits(at, 2, &parts->tm_min) || !take(at, ":") || !take_digits(at, 2, &parts->tm_sec) ||
        parts->tm_hour > 23 || parts->tm_min > 59 || parts->tm_sec > 60 /* a leap second */)
        return false;
    if (take(at, ".")) {
        int digit, scale = 100;
        if (!take_digits(at, 1, &digit))
            return false;
        do { /* finer than the logs are: dropped */
            *ret_ms += digit * scale;
            scale /= 10;
        } while (take_digits(at, 1, &digit));
    }
    if (take(at, "Zz"))
        return true;
    bool is_west = **at == '-';
    if (!take(at, "+-") || !take_digits(at, 2, &hours) || !take(at, ":") || !take_digits(at, 2, &minutes) ||
        hours > 23 || minutes > 59)
        return false;
    *ret_zone_s = (hours * 60 + minutes) * (is_west ? -60 : 60);
    return true;
}

static int parse_time(const char *text, uint64_t *ret_ms)
{
    struct tm parts = {0};
    int year, month, ms = 0, zone_s = 0;
    const char *at = text;
    if (!take_digits(&at, 4, &year) || !take(&at, "-") || !take_digits(&at, 2, &month) || !take(&at, "-") ||
        !take_digits(&at, 2, &parts.tm_mday))
        return -EINVAL;
    if (*at && (!take_clock(&at, &parts, &ms, &zone_s) || *at))
        return -EINVAL;
    parts.tm_year = year - 1900;
    parts.tm_mon = month - 1;
    struct tm day = {.tm_year = parts.tm_year, .tm_mon = parts.tm_mon, .tm_mday = parts.tm_mday};
    (void)timegm(&day); /* turns February 30 into March */
    if (day.tm_year != parts.tm_year || day.tm_mon != parts.tm_mon || day.tm_mday != parts.tm_mday)
        return -EINVAL;
    time_t seconds = timegm(&parts) - zone_s;
    *ret_ms = seconds < 0 ? 0 : (uint64_t)seconds * 1000 + (uint64_t)ms;
    return 0;
}

int since_parse(const char *text, uint64_t now_ms, uint64_t *ret_ms)
{
    return parse_ago(text, now_ms, ret_ms) == 0 ? 0 : parse_time(text, ret_ms);
}
