/* The OpenAPI 3.1 document of the routes, made from their table and from the records' schemas. */
#ifndef HOLDFAST_GATEWAY_OPENAPI_H
#define HOLDFAST_GATEWAY_OPENAPI_H

#include <jansson.h>

/* A new reference. */
json_t *openapi_document(void);

#endif
