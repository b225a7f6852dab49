/* What a statically linked lifecycle has instead of glibc's name service, which would load libraries that only
   an image with the very same glibc has. The registry client asks name servers itself; what still comes here
   has not been taught to, and gets an error instead of a crash. build.rs links this. */

#include <netdb.h>

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)found;
	return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *found)
{
	(void)found;
}
