/* rpc_probe_main.c - the probe as a static program, to be run under the real confinement. */
#include "tests/unit/rpc_probe.h"

int main(int argc, char **argv)
{
    return probe_main(argc, argv);
}
