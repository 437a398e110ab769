/*
 * rules.h - what names, paths and methods of a service list may look like.  Pure.
 *
 * One place for both sides: manifest_parse() reports what breaks a rule with its line, manifest_verify() refuses it.
 */
#ifndef HOSTD_RULES_H
#define HOSTD_RULES_H

#include <stdbool.h>
#include <stddef.h>

/* [a-z][a-z0-9_-]*, below NAME_BYTES: applications, services, ingresses, data directories. */
bool rule_name(const char *name);

/* Names that would be mistaken for callers of our own: "operator", "hostd". */
bool rule_service_reserved(const char *name);

/* Names of data directories that the root needs itself: "bin", "dev", "proc", ... */
bool rule_data_reserved(const char *name);

/* A target of `files`: absolute, below MANIFEST_TO_BYTES_MAX, no empty, "." or ".." part, no control characters. */
bool rule_path_inside(const char *path);

/* The same path, or one lies below the other. */
bool rule_paths_clash(const char *a, const char *b);

/* A target of `files` that hides what hostd puts there: the folder of the program, /proc, /sys, /dev. */
bool rule_target_reserved(const char *path);

/* What PID 1 itself puts into the root of a process service: /dev, /proc, /tmp, /etc/hosts, ... */
bool rule_process_target_reserved(const char *path);

/* `path` is `directory`, or lies below it. */
bool rule_path_below(const char *path, const char *directory);

/* NAME=value of an environment; hostd's own names are refused. */
bool rule_environment(const char *word);

/* No control characters: a path of the host that can be shown on a terminal. */
bool rule_printable(const char *text);

/* A key of a configuration, nested ones joined with dots. */
bool rule_config_key(const char *key);

#endif
