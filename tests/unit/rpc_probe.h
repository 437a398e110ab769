/* rpc_probe.h - the service of rpc_probe.proto, to be run by a child of the test or as a program of its own. */
#ifndef TESTS_UNIT_RPC_PROBE_H
#define TESTS_UNIT_RPC_PROBE_H

int probe_main(int argc, char **argv);

#endif
