/*
 * hints.h - what a person may do about a stage of a start that failed.
 *
 * Pure.  A module that knows better has put a hint of its own behind its text; this one is for all others.
 */
#ifndef HOSTD_HINTS_H
#define HOSTD_HINTS_H

#include "initsvc/contract.h"

/* Appends " (hint)" to the failure of a stage, unless its text ends with one. */
void hint_add(enum init_stage stage, struct err *e);

#endif
