// Written by `npm run generate` from the specification of the service: changes here are lost.

export interface paths {
    "/api/v1/predictions/failure": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Probability of failure within 1, 7 and 30 days, with reasons and next steps */
        post: {
            parameters: {
                query?: {
                    /** @description `false` writes nothing to cache, history and fleet store, for a question "what if". A cached answer is still used. */
                    store?: "true" | "false";
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["PredictionRequest"] | {
                        metrics: components["schemas"]["Reading"];
                    } | components["schemas"]["Reading"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["FailurePrediction"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Over a limit of the key or tenant; the detail names it. */
                429: {
                    headers: {
                        /** @description Seconds until a retry may succeed. */
                        "Retry-After": number;
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No verdict before the deadline; see Retry-After and Location. */
                504: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/predictions/maintenance": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** When a visit is cheapest, and what it saves */
        post: {
            parameters: {
                query?: {
                    /** @description `false` writes nothing to cache, history and fleet store, for a question "what if". A cached answer is still used. */
                    store?: "true" | "false";
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["PredictionRequest"] | {
                        metrics: components["schemas"]["Reading"];
                    } | components["schemas"]["Reading"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["MaintenanceSchedule"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Over a limit of the key or tenant; the detail names it. */
                429: {
                    headers: {
                        /** @description Seconds until a retry may succeed. */
                        "Retry-After": number;
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No verdict before the deadline; see Retry-After and Location. */
                504: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/predictions/anomaly": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Whether the reading is unlike the fleet's, and in what */
        post: {
            parameters: {
                query?: {
                    /** @description `false` writes nothing to cache, history and fleet store, for a question "what if". A cached answer is still used. */
                    store?: "true" | "false";
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["PredictionRequest"] | {
                        metrics: components["schemas"]["Reading"];
                    } | components["schemas"]["Reading"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AnomalyVerdict"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Over a limit of the key or tenant; the detail names it. */
                429: {
                    headers: {
                        /** @description Seconds until a retry may succeed. */
                        "Retry-After": number;
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No verdict before the deadline; see Retry-After and Location. */
                504: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/predictions/{charger_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                charger_id: string;
            };
            cookie?: never;
        };
        /** The newest cached failure prediction of a charger */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    charger_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["FailurePrediction"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        /** Forget the cached predictions of a charger */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    charger_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description No Content */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/predictions/batch": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Score many readings as a job */
        post: {
            parameters: {
                query?: {
                    /** @description Which verdicts; `all`: each row has all three. */
                    kind?: "failure" | "maintenance" | "anomaly" | "all";
                    /** @description Write the verdicts to cache and fleet store. Default: true for a JSON body, false for files. */
                    store?: "true" | "false";
                    /** @description Add the readings to the readings' history, by their own times, so that later predictions know them. Rows of one job do not see each other. */
                    history?: "true" | "false";
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                    /** @description `gzip` for a compressed body of any format. */
                    "Content-Encoding"?: "gzip" | "identity";
                    /** @description `wait=N`: answer with the results if the job ends within N s, at most 30 (RFC 7240). */
                    Prefer?: string;
                    /** @description A repeated request with the same key and body returns the same job. */
                    "Idempotency-Key"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["BatchRequest"];
                    "application/x-ndjson": string;
                    "text/csv": string;
                    "application/vnd.apache.parquet": string;
                };
            };
            responses: {
                /** @description With `Prefer: wait=N`, ended in N s. */
                200: {
                    headers: {
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["BatchResult"];
                    };
                };
                /** @description Accepted */
                202: {
                    headers: {
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Job"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Over a limit of the key or tenant; the detail names it. */
                429: {
                    headers: {
                        /** @description Seconds until a retry may succeed. */
                        "Retry-After": number;
                        /**
                         * @description The limits of the key and tenant, if there are any (draft-ietf-httpapi-ratelimit-headers): `q` is the limit, `w` its time in seconds.
                         * @example "tenant-readings";q=100;w=1
                         */
                        "RateLimit-Policy"?: string;
                        /**
                         * @description What is left of each limit (`r`), and the seconds that it has to last (`t`).
                         * @example "tenant-readings";r=50;t=1
                         */
                        RateLimit?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The disk or Redis is nearly full; see Retry-After. */
                507: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Jobs, newest first */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before. */
                    cursor?: number;
                    /** @description Only these. */
                    status?: "PENDING" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELLED";
                    /** @description Only these. */
                    kind?: "failure" | "maintenance" | "anomaly" | "all" | "erase";
                    /** @description ISO 8601; at that moment or later. */
                    created_after?: string;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["JobPage"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{job_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                job_id: string;
            };
            cookie?: never;
        };
        /** Status and progress of a job */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    job_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Job"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        /**
         * Cancel a job; what is done stays readable
         * @description An erasure cannot be cancelled: what is deleted would stay deleted, and the rest would stay.
         */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    job_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Job"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{job_id}/results": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                job_id: string;
            };
            cookie?: never;
        };
        /**
         * Results in input order, also of a job that still runs: up to the first row that is missing
         * @description A cancelled job's rows are those that were done, which may have gaps: each row says its number.
         *     A page of JSON holds at most 1,000 rows. Its `next` is null at the end of the input. It is the same cursor
         *     again where the next row is not scored yet. The other formats are streams from `cursor` on: of `limit`
         *     rows, or of all that are done; where more follow, `Link` says where to go on. What breaks off is never
         *     ended as if it were complete.
         */
        get: {
            parameters: {
                query?: {
                    /** @description Rows. A page of JSON: 100 if not said, at most 1,000 (more is 422). Other formats: all that are done if not said. */
                    limit?: number;
                    /** @description The row to begin with: `next` of the page before. */
                    cursor?: number;
                    /** @description Fields of a row that are returned, with commas between them; all if not said. Names with dots choose what lies deeper, as in CSV: `failure_probability,horizons.7d`. A name that no row of the job's kind has is 422. */
                    columns?: string;
                };
                header?: {
                    /** @description JSON pages, or a stream of all rows that are done. */
                    Accept?: "application/json" | "application/x-ndjson" | "text/csv" | "application/vnd.apache.parquet";
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    job_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        /** @description `rel=next`: where to go on, if rows follow or will follow (RFC 8288). */
                        Link?: string;
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page"];
                        "application/x-ndjson": string;
                        "text/csv": string;
                        "application/vnd.apache.parquet": string;
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No format of these is there; see the detail. */
                406: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/jobs/{job_id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                job_id: string;
            };
            cookie?: never;
        };
        /** Progress of a job as server-sent events */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Sent by a browser that comes back; after `done` there is nothing more (204). */
                    "Last-Event-ID"?: string;
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    job_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description `progress` (when something has changed, at most twice a second) and, once the job has ended, `done`; the data of both is the job as `GET /jobs/{job_id}` shows it. A comment every 10 s keeps the connection. After 10 minutes, or when the service is restarted, the stream ends without `done`: connect again. */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/event-stream": {
                            /** @enum {string} */
                            event?: "progress" | "done";
                            id?: string;
                            data?: string;
                            /** @description Milliseconds until a browser comes back. */
                            retry?: number;
                        };
                    };
                };
                /** @description `done` has been seen. */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/chargers": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Each charger with its newest verdict, highest probability first, by filters and in other orders */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before, in the same `sort`. */
                    cursor?: string;
                    /** @description Chargers of this site. Repeated, any of the values counts. */
                    site?: string[];
                    /** @description Chargers of this manufacturer. Repeated, any of the values counts. */
                    vendor?: string[];
                    /** @description Chargers of this model. Repeated, any of the values counts. */
                    model?: string[];
                    /** @description Chargers with this version of the firmware. Repeated, any of the values counts. */
                    firmware?: string[];
                    /** @description Chargers whose newest reading has this connector status. Repeated, any of the values counts. */
                    status?: ("AVAILABLE" | "CHARGING" | "OCCUPIED" | "UNAVAILABLE" | "OFFLINE" | "FAULTY" | "FULLY_CHARGED")[];
                    /** @description Chargers with this recommended action. Repeated, any of the values counts. */
                    action?: ("IMMEDIATE" | "WITHIN_7_DAYS" | "WITHIN_30_DAYS" | "NONE")[];
                    /** @description Chargers with at least this probability of a failure within 30 days. */
                    min_risk?: number;
                    /** @description `true`: chargers with a verdict. `false`: those of which only attributes are known. Both without it. */
                    scored?: "true" | "false";
                    /** @description Chargers with this text in their id, name or site, in any case. */
                    q?: string;
                    /** @description `risk`, `reading_timestamp` and `cost_of_waiting` begin with the highest, `charger_id` and `site` with the lowest; a dash before the name turns the order round. Equal chargers are sorted by id, those without the value are last. */
                    sort?: "risk" | "-risk" | "reading_timestamp" | "-reading_timestamp" | "cost_of_waiting" | "-cost_of_waiting" | "charger_id" | "-charger_id" | "site" | "-site";
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["FleetPage"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        /** Store the attributes of many chargers from a file; a wrong row stops no other */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                    /** @description `gzip` for a compressed body of any format. */
                    "Content-Encoding"?: "gzip" | "identity";
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "text/csv": string;
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AttributeFile"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The disk or Redis is nearly full; see Retry-After. */
                507: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/chargers/{charger_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @example EVZ-0042 */
                charger_id: string;
            };
            cookie?: never;
        };
        /** A charger: its attributes, newest reading, newest verdicts and open alerts */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    /** @example EVZ-0042 */
                    charger_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Charger"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        /** Replace all attributes of a charger; those that are left out are removed */
        put: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    /** @example EVZ-0042 */
                    charger_id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Attributes"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["StoredAttributes"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The disk or Redis is nearly full; see Retry-After. */
                507: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        post?: never;
        /** Erase all data of a charger of this tenant by a job, which returns a receipt */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    /** @example EVZ-0042 */
                    charger_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Accepted */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Job"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/chargers/{charger_id}/history": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                charger_id: string;
            };
            cookie?: never;
        };
        /** Past verdicts of a charger, newest reading first */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before. */
                    cursor?: number;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    charger_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/sites": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Sites with their chargers, highest probability, visits that are due and cost of waiting */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before, in the same `sort`. */
                    cursor?: string;
                    /** @description `risk`, `chargers` and `cost_of_waiting` begin with the highest, `site_id` with the lowest; a dash before the name turns the order round. Equal sites are sorted by id. */
                    sort?: "risk" | "-risk" | "chargers" | "-chargers" | "cost_of_waiting" | "-cost_of_waiting" | "site_id" | "-site_id";
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["SitePage"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The models that the workers hold now */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Models"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/reload": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Have every worker look at the model folder; running requests are answered by the old version */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Reload"];
                    };
                };
                /** @description Not every worker has answered yet. */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Reload"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/{name}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        /** The model card: its versions, how the active one was made and measured, and who holds it */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["ModelCard"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/{name}/activate": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Verify a version in a worker and make it the active one; a version that is refused changes nothing */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Activate"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Switch"];
                    };
                };
                /** @description Not every worker has switched yet. */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Switch"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No verdict before the deadline; see Retry-After and Location. */
                504: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/{name}/rollback": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Make the version active that was active before; again goes one version further back */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Switch"];
                    };
                };
                /** @description Not every worker has switched yet. */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Switch"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No verdict before the deadline; see Retry-After and Location. */
                504: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/{name}/versions/{version}/verify": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
                version: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Have a worker check a version's files and golden rows, without using it */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                    version: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Switch"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No verdict before the deadline; see Retry-After and Location. */
                504: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/{name}/drift": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        /** How far readings and scores of all tenants have moved away from what the active version learnt from */
        get: {
            parameters: {
                query?: {
                    /** @description How far back: whole hours and the one that runs. */
                    window?: "24h" | "7d";
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Drift"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/models/{name}/shadow": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                name: string;
            };
            cookie?: never;
        };
        /** Compare the active version with its shadow on a sample of the traffic of all tenants */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Shadow"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        /** Verify a version in a worker and have it score beside the active one */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Activate"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Switch"];
                    };
                };
                /** @description Not every worker holds it yet. */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Switch"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description No verdict before the deadline; see Retry-After and Location. */
                504: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        /** Have no version score beside the active one; the sums of the pair are kept for 30 days */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    name: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description No Content */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/outcomes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Reported outcomes, the latest first */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before. */
                    cursor?: number;
                    /** @description Only those of this charger. */
                    charger_id?: string;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["OutcomePage"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        /** Report that a charger failed, was repaired, or that an alert was false */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Outcome"];
                };
            };
            responses: {
                /** @description Accepted */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["OutcomeAccepted"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/outcomes/quality": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Quality of the verdicts by the outcomes reported, and the expected one before any are */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["LiveQuality"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/outcomes/{outcome_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                outcome_id: string;
            };
            cookie?: never;
        };
        /** A reported outcome */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    outcome_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["ReportedOutcome"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        /** Correct the outcome, its time, or both; the live quality follows */
        put: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    outcome_id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["OutcomeKindCorrection"] | components["schemas"]["OutcomeTimeCorrection"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["ReportedOutcome"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        post?: never;
        /** Delete an outcome that was reported by mistake; the live quality follows */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    outcome_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description No Content */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/service": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Name, version, and the brokers, topics and consumer group of the service */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["ServiceInfo"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** 200 while the process lives; with a key, `checks` name each part that is down */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Health"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/health/ready": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** 503 unless a prediction can be served now; with a key, `checks` name the reason */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Health"];
                    };
                };
                /** @description No prediction can be served now. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Health"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Metrics of all processes on this host, and the queues' lengths */
        get: {
            parameters: {
                query?: never;
                header?: never;
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Prometheus text format. */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "text/plain": string;
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/audit": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Which key did what, when, from where; the newest 10,000 entries of all hosts */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before. */
                    cursor?: number;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Page"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tenants/{tenant_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /** @example acme */
                tenant_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        post?: never;
        /** Erase all data of a tenant and end its keys, by a job, which returns a receipt */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    /** @example acme */
                    tenant_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Accepted */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Job"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** The webhooks, the oldest first, without their secrets */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before. */
                    cursor?: number;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["WebhookPage"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        /** Add a webhook; the answer has its secret, which is not shown again */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["NewWebhook"];
                };
            };
            responses: {
                /** @description Created */
                201: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["NewWebhookAnswer"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhook_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                webhook_id: string;
            };
            cookie?: never;
        };
        /** A webhook, without its secret */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    webhook_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Webhook"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        /** Remove a webhook with the events that wait for it */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    webhook_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description No Content */
                204: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content?: never;
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhook_id}/failures": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                webhook_id: string;
            };
            cookie?: never;
        };
        /** Events whose delivery has failed: parked ones, and those that are tried again */
        get: {
            parameters: {
                query?: {
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before. */
                    cursor?: number;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    webhook_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["FailurePage"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/webhooks/{webhook_id}/replay": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                webhook_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Send parked events again, and enable a webhook that was disabled */
        post: {
            parameters: {
                query?: {
                    /** @description Only this event; without it all. */
                    event_id?: string;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    webhook_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description Accepted */
                202: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["Replay"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/alerts": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /** Alerts, the newest first: open ones, closed ones by their closing, or all */
        get: {
            parameters: {
                query?: {
                    state?: "open" | "closed" | "all";
                    kind?: "failure" | "anomaly";
                    charger_id?: string;
                    /** @description Whether somebody has acknowledged it. */
                    acknowledged?: boolean;
                    /** @description The person or team, exactly. */
                    assigned_to?: string;
                    /** @description Whether it is muted now. */
                    muted?: boolean;
                    /** @description Items a page. */
                    limit?: number;
                    /** @description `next` of the page before. */
                    cursor?: string;
                };
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path?: never;
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AlertPage"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/alerts/{alert_id}": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                alert_id: string;
            };
            cookie?: never;
        };
        /** An alert, with its verdicts and its story */
        get: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    alert_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AlertWithStory"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/alerts/{alert_id}/acknowledge": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                alert_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Note that somebody has seen an alert */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    alert_id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Acknowledgement"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AlertWithStory"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/alerts/{alert_id}/assign": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                alert_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Assign an alert to a person or team, or end that */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    alert_id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["Assignment"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AlertWithStory"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/alerts/{alert_id}/mute": {
        parameters: {
            query?: never;
            header?: never;
            path: {
                alert_id: string;
            };
            cookie?: never;
        };
        get?: never;
        put?: never;
        /** Mute an open alert until a time; the alert topics do not change */
        post: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    alert_id: string;
                };
                cookie?: never;
            };
            requestBody: {
                content: {
                    "application/json": components["schemas"]["MutingUntil"] | components["schemas"]["MutingForHours"];
                };
            };
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AlertWithStory"];
                    };
                };
                /** @description The body is not JSON. */
                400: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body stopped midway. */
                408: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Contradicts an earlier request. */
                409: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The body is too large. */
                413: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The content type is not supported. */
                415: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        /** End the muting of an alert */
        delete: {
            parameters: {
                query?: never;
                header?: {
                    /** @description Separates cache, fleet and jobs. */
                    "X-Tenant-ID"?: string;
                };
                path: {
                    alert_id: string;
                };
                cookie?: never;
            };
            requestBody?: never;
            responses: {
                /** @description OK */
                200: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/json": components["schemas"]["AlertWithStory"];
                    };
                };
                /** @description The key is missing or wrong. */
                401: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description The key lacks the role. */
                403: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Not there. */
                404: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description A field is wrong; `errors` names each. */
                422: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Something went wrong in the service. */
                500: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                /** @description Cannot be accepted now; see Retry-After. */
                503: {
                    headers: {
                        [name: string]: unknown;
                    };
                    content: {
                        "application/problem+json": components["schemas"]["Problem"];
                    };
                };
                default: components["responses"]["DEFAULT_ERROR"];
            };
        };
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        FieldProblem: {
            /** @description RFC 6901 pointer into the body, or /query/… and /headers/…. */
            pointer: string;
            /** @description What is wrong with this field. */
            detail: string;
            /** @description The same in one word. */
            code: string;
        };
        Problem: {
            /** @description A URN that names the kind of problem. */
            type: string;
            /** @description The status in words. */
            title: string;
            status: number;
            /** @description What happened, for a person. */
            detail: string;
            /** @description The kind of problem in one word, for a program. */
            code: string;
            /** @description Also in the header X-Request-ID. */
            request_id: string | null;
            /** @description For 422. */
            errors?: components["schemas"]["FieldProblem"][];
        };
        Metrics: {
            /**
             * @description The charger's OCPP identifier.
             * @example EVZ-0042
             */
            charger_id?: string | null;
            /**
             * @description AVAILABLE, CHARGING, …; OCPP 1.6 and 2.0.1 spellings in any case are mapped.
             * @example CHARGING
             * @enum {string}
             */
            connector_status: "AVAILABLE" | "CHARGING" | "OCCUPIED" | "UNAVAILABLE" | "OFFLINE" | "FAULTY" | "FULLY_CHARGED" | "Available" | "Preparing" | "Charging" | "SuspendedEVSE" | "SuspendedEV" | "Finishing" | "Reserved" | "Occupied" | "Unavailable" | "Faulted";
            /**
             * @description kWh, total of the current or last session.
             * @default null
             * @example 18.4
             */
            energy_delivered?: number | null;
            /**
             * @description kW, now.
             * @default null
             * @example 47.5
             */
            power?: number | null;
            /**
             * @description °C, inside the charger.
             * @default null
             * @example 41
             */
            temperature?: number | null;
            /**
             * @description OCPP, MREC or vendor codes, as the charger reports them; NoError means none.
             * @default null
             * @example [
             *       "HighTemperature"
             *     ]
             */
            error_codes?: string[] | null;
            /**
             * @description Hours since the charger last started.
             * @default null
             * @example 412
             */
            uptime_hours?: number | null;
            /**
             * @description Sessions since installation.
             * @default null
             * @example 5120
             */
            total_sessions?: number | null;
            /**
             * Format: date-time
             * @description ISO 8601.
             * @default null
             * @example 2026-05-02T09:00:00Z
             */
            last_maintenance?: string | null;
            /**
             * Format: date-time
             * @description When the reading was taken: ISO 8601 or epoch seconds. Default: now. More than 5 minutes ahead of the service's clock is an error.
             * @default null
             * @example 2026-11-20T08:30:00Z
             */
            timestamp?: string | number | null;
            /** @description At most 32 levels deep. `costs` (at most 16384 bytes of JSON) overrides the configured costs of the maintenance schedule, and `costs.maintenance_interval_days` the ordinary service interval. `attributes` (schema Attributes) replace those stored for the charger, one by one; a wrong one is ignored. The rest is ignored. */
            metadata?: {
                [key: string]: unknown;
            } | null;
        };
        PredictionRequest: {
            /**
             * @description The charger. Equal to that of `metrics`, where both have one.
             * @example EVZ-0042
             */
            charger_id: string;
            /** @description The reading. */
            metrics: components["schemas"]["Metrics"];
        };
        Reading: {
            /**
             * @description The charger's OCPP identifier.
             * @example EVZ-0042
             */
            charger_id: string;
            /**
             * @description AVAILABLE, CHARGING, …; OCPP 1.6 and 2.0.1 spellings in any case are mapped.
             * @example CHARGING
             * @enum {string}
             */
            connector_status: "AVAILABLE" | "CHARGING" | "OCCUPIED" | "UNAVAILABLE" | "OFFLINE" | "FAULTY" | "FULLY_CHARGED" | "Available" | "Preparing" | "Charging" | "SuspendedEVSE" | "SuspendedEV" | "Finishing" | "Reserved" | "Occupied" | "Unavailable" | "Faulted";
            /**
             * @description kWh, total of the current or last session.
             * @default null
             * @example 18.4
             */
            energy_delivered?: number | null;
            /**
             * @description kW, now.
             * @default null
             * @example 47.5
             */
            power?: number | null;
            /**
             * @description °C, inside the charger.
             * @default null
             * @example 41
             */
            temperature?: number | null;
            /**
             * @description OCPP, MREC or vendor codes, as the charger reports them; NoError means none.
             * @default null
             * @example [
             *       "HighTemperature"
             *     ]
             */
            error_codes?: string[] | null;
            /**
             * @description Hours since the charger last started.
             * @default null
             * @example 412
             */
            uptime_hours?: number | null;
            /**
             * @description Sessions since installation.
             * @default null
             * @example 5120
             */
            total_sessions?: number | null;
            /**
             * Format: date-time
             * @description ISO 8601.
             * @default null
             * @example 2026-05-02T09:00:00Z
             */
            last_maintenance?: string | null;
            /**
             * Format: date-time
             * @description When the reading was taken: ISO 8601 or epoch seconds. Default: now. More than 5 minutes ahead of the service's clock is an error.
             * @default null
             * @example 2026-11-20T08:30:00Z
             */
            timestamp?: string | number | null;
            /** @description At most 32 levels deep. `costs` (at most 16384 bytes of JSON) overrides the configured costs of the maintenance schedule, and `costs.maintenance_interval_days` the ordinary service interval. `attributes` (schema Attributes) replace those stored for the charger, one by one; a wrong one is ignored. The rest is ignored. */
            metadata?: {
                [key: string]: unknown;
            } | null;
        };
        Horizons: {
            /** @description Within 1 day. */
            "1d": number;
            /** @description Within 7 days. */
            "7d": number;
            /** @description Within 30 days. */
            "30d": number;
        };
        Window: {
            /**
             * Format: date-time
             * @description Earliest likely moment.
             */
            start: string | null;
            /**
             * Format: date-time
             * @description Latest likely moment.
             */
            end: string | null;
        };
        Factor: {
            /** @description What counts, in words. */
            factor: string;
            /** @description The model's name for it. */
            feature: string;
            /** @description In `unit`. */
            value: number | null;
            /** @description Of the value; empty for counts. */
            unit: string;
            /** @description Factor, value and unit as a sentence. */
            text: string;
            /**
             * @description Whether it raises the probability.
             * @enum {string}
             */
            direction: "increases" | "decreases";
            /** @description Contribution to the 30-day log-odds, against the fleet's base rate. */
            weight: number;
        };
        FailurePrediction: {
            /** @description The charger. */
            charger_id: string;
            /** @description From X-Tenant-ID. */
            tenant_id: string | null;
            /** @description The version that answered. */
            model_version: string;
            /**
             * Format: date-time
             * @description When the scored reading was taken.
             */
            reading_timestamp: string;
            /**
             * Format: date-time
             * @description When it was scored.
             */
            timestamp: string;
            /** @description The reading was more than 24 hours old when it was scored. */
            reading_stale: boolean;
            /** @description Answered from the cache. */
            cached: boolean;
            /** @description Scored by the web process, without history. Not stored. */
            degraded: boolean;
            /** @description Equal for equal readings; null if `degraded`. */
            fingerprint: string | null;
            /** @description Of a failure within 30 days, 0 to 1. */
            failure_probability: number;
            horizons: components["schemas"]["Horizons"];
            /**
             * Format: date-time
             * @description Null when failure in 30 days is less likely than not.
             */
            predicted_failure_date: string | null;
            predicted_failure_window: components["schemas"]["Window"] | null;
            /** @description 0 to 1; see docs/models.md. */
            confidence: number;
            /**
             * @description When somebody must go. NONE: the ordinary service will do.
             * @enum {string}
             */
            recommended_action: "IMMEDIATE" | "WITHIN_7_DAYS" | "WITHIN_30_DAYS" | "NONE";
            /** @description Steps in order, remote ones first. */
            recommended_actions: string[];
            top_contributing_factors: components["schemas"]["Factor"][];
            /** @description The reading itself is FAULTY. */
            in_failure: boolean;
            /** @description What a visit on the best day within 30 days is expected to save; 0 if none pays. In `currency`. */
            cost_of_waiting: number;
            /** @description ISO 4217. */
            currency: string;
            /** @description Version of the cost policy and its costs. */
            cost_policy: string;
        };
        CostBenefit: {
            /** @description Of planned work: visit, parts, lost margin. In `currency`. */
            preventive_maintenance_cost: number;
            /** @description Of a failure, times its probability within 30 days. In `currency`. */
            expected_failure_cost: number;
            /** @description What planned work on the best day is expected to save; below 0 if it costs more. In `currency`. */
            net_savings: number;
            /** @description ISO 4217. */
            currency: string;
        };
        MaintenanceSchedule: {
            /** @description The charger. */
            charger_id: string;
            /** @description From X-Tenant-ID. */
            tenant_id: string | null;
            /** @description The version that answered. */
            model_version: string;
            /**
             * Format: date-time
             * @description When the scored reading was taken.
             */
            reading_timestamp: string;
            /**
             * Format: date-time
             * @description When it was scored.
             */
            timestamp: string;
            /** @description The reading was more than 24 hours old when it was scored. */
            reading_stale: boolean;
            /** @description Answered from the cache. */
            cached: boolean;
            /** @description Scored by the web process, without history. Not stored. */
            degraded: boolean;
            /** @description Equal for equal readings; null if `degraded`. */
            fingerprint: string | null;
            /**
             * Format: date-time
             * @description When a visit is cheapest, or the ordinary service. Never before `timestamp`.
             */
            recommended_date: string;
            /** @description Planned work is expected to save money, or the charger has failed. */
            worthwhile: boolean;
            /**
             * @description How soon.
             * @enum {string}
             */
            urgency: "LOW" | "MEDIUM" | "HIGH" | "CRITICAL";
            /** @description Hours out of service: for planned work, or for repair. */
            estimated_downtime_hours: number;
            cost_benefit: components["schemas"]["CostBenefit"];
            rationale: string[];
        };
        AnomalyVerdict: {
            /** @description The charger. */
            charger_id: string;
            /** @description From X-Tenant-ID. */
            tenant_id: string | null;
            /** @description The version that answered. */
            model_version: string;
            /**
             * Format: date-time
             * @description When the scored reading was taken.
             */
            reading_timestamp: string;
            /**
             * Format: date-time
             * @description When it was scored.
             */
            timestamp: string;
            /** @description The reading was more than 24 hours old when it was scored. */
            reading_stale: boolean;
            /** @description Answered from the cache. */
            cached: boolean;
            /** @description Scored by the web process, without history. Not stored. */
            degraded: boolean;
            /** @description Equal for equal readings; null if `degraded`. */
            fingerprint: string | null;
            is_anomaly: boolean;
            /** @description 0 to 100. */
            anomaly_score: number;
            /** @description What kind, if any. */
            anomaly_type: string | null;
            /** @description z of each deviating feature against the training fleet. */
            deviation: {
                [key: string]: number;
            };
        };
        BatchRequest: {
            /**
             * @description Readings: flat (schema Reading), or in an envelope (schema PredictionRequest). One that is wrong becomes a failed row and does not stop the others.
             * @example [
             *       {
             *         "charger_id": "EVZ-0042",
             *         "connector_status": "CHARGING",
             *         "temperature": 41
             *       }
             *     ]
             */
            chargers: unknown[];
        };
        BatchResult: {
            /** @description The job. */
            job_id: string;
            predictions: unknown[];
            total: number;
            /**
             * Format: date-time
             * @description When the job ended.
             */
            timestamp: string;
        };
        RowProblem: {
            /** @description RFC 6901 pointer into the body, or /query/… and /headers/…. */
            pointer: string;
            /** @description What is wrong with this field. */
            detail: string;
            /** @description The same in one word. */
            code: string;
            /** @description Of the input, counted from 0. */
            row: number;
        };
        Job: {
            /** @description Names the job in the other calls. */
            job_id: string;
            /** @description From X-Tenant-ID. */
            tenant_id: string | null;
            /**
             * @description What was asked.
             * @enum {string}
             */
            kind: "failure" | "maintenance" | "anomaly" | "all" | "erase";
            /**
             * @description Where it stands.
             * @enum {string}
             */
            status: "PENDING" | "RUNNING" | "SUCCEEDED" | "FAILED" | "CANCELLED";
            /** @description Rows. */
            total: number;
            /** @description Rows with a result or an error. */
            done: number;
            /** @description Rows whose result is an error. */
            failed: number;
            /** @description 0 to 1. */
            progress: number;
            /**
             * Format: date-time
             * @description Accepted.
             */
            created_at: string;
            /**
             * Format: date-time
             * @description First chunk begun.
             */
            started_at: string | null;
            /**
             * Format: date-time
             * @description Ended.
             */
            finished_at: string | null;
            /** @description Rows done a second: of late while the job runs, of the whole run once it has ended. */
            rows_per_second: number | null;
            /** @description Seconds until the end at the rate of late. */
            eta_seconds: number | null;
            /**
             * Format: date-time
             * @description When the job and its results are deleted: `ML_JOB_RETENTION` seconds after its last results.
             */
            expires_at: string;
            /** @description Columns of a CSV or Parquet file that no field has the name of: the first 100 names, 100 characters of each. */
            ignored_columns: string[];
            /** @description The first problems of rows; each failed row has its own in the results. */
            errors: components["schemas"]["RowProblem"][];
            /** @description Of an erasure that has not ended: what its next step waits for. */
            waiting_for?: string | null;
        };
        JobPage: {
            items: components["schemas"]["Job"][];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in all. */
            total?: number;
        };
        Page: {
            items: unknown[];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in all. */
            total?: number;
        };
        Attributes: {
            /**
             * @description The site where it stands.
             * @example SITE-12
             */
            site_id?: string | null;
            /**
             * @description Its manufacturer.
             * @example ABB
             */
            vendor?: string | null;
            /**
             * @description Its model.
             * @example Terra 184
             */
            model?: string | null;
            /**
             * @description The version of its firmware.
             * @example 1.8.32
             */
            firmware?: string | null;
            /**
             * @description Types of its connectors.
             * @example [
             *       "CCS2",
             *       "CHAdeMO"
             *     ]
             */
            connector_types?: string[] | null;
            /**
             * @description kW, by its plate.
             * @example 180
             */
            rated_power_kw?: number | null;
            /**
             * @description ISO 8601: the date or the time of its installation.
             * @example 2024-05-17
             */
            installed_at?: ((string | unknown | unknown) | null) | unknown | unknown;
            /**
             * @description Its name among people.
             * @example Harbour, bay 4
             */
            name?: string | null;
        };
        FleetCharger: {
            /** @description The charger. */
            charger_id: string;
            /** @description From X-Tenant-ID. */
            tenant_id: string | null;
            /** @description The version that answered. */
            model_version: string | null;
            /**
             * Format: date-time
             * @description When the scored reading was taken.
             */
            reading_timestamp: string | null;
            /**
             * Format: date-time
             * @description When it was scored.
             */
            timestamp: string | null;
            /** @description The newest reading is older than 24 hours. False without one. */
            reading_stale: boolean;
            /** @description Answered from the cache. */
            cached: boolean;
            /** @description Scored by the web process, without history. Not stored. */
            degraded: boolean;
            /** @description Equal for equal readings; null if `degraded`. */
            fingerprint: string | null;
            /** @description Of a failure within 30 days, 0 to 1. */
            failure_probability: number | null;
            horizons: components["schemas"]["Horizons"] | null;
            /**
             * Format: date-time
             * @description Null when failure in 30 days is less likely than not.
             */
            predicted_failure_date: string | null;
            predicted_failure_window: components["schemas"]["Window"] | null;
            /** @description 0 to 1; see docs/models.md. */
            confidence: number | null;
            /**
             * @description When somebody must go. NONE: the ordinary service will do.
             * @enum {string|null}
             */
            recommended_action: "IMMEDIATE" | "WITHIN_7_DAYS" | "WITHIN_30_DAYS" | "NONE" | null;
            /** @description Steps in order, remote ones first. */
            recommended_actions: string[];
            top_contributing_factors: components["schemas"]["Factor"][];
            /** @description The reading itself is FAULTY. */
            in_failure: boolean;
            /** @description What a visit on the best day within 30 days is expected to save; 0 if none pays. In `currency`. */
            cost_of_waiting: number | null;
            /** @description ISO 4217. */
            currency: string | null;
            /** @description Version of the cost policy and its costs. */
            cost_policy: string | null;
            /** @description Those that are known. */
            attributes: components["schemas"]["Attributes"];
            /**
             * @description Of the newest reading.
             * @enum {string|null}
             */
            connector_status: "AVAILABLE" | "CHARGING" | "OCCUPIED" | "UNAVAILABLE" | "OFFLINE" | "FAULTY" | "FULLY_CHARGED" | null;
        };
        FleetPage: {
            items: components["schemas"]["FleetCharger"][];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in all. */
            total?: number;
        };
        AlertVerdict: {
            /**
             * Format: date-time
             * @description When the scored reading was taken.
             */
            reading_timestamp: string;
            /** @description The version that answered. */
            model_version?: string;
            /** @description Failure: within 30 days, 0 to 1. */
            failure_probability?: number;
            /** @description Failure: the reading itself is FAULTY. */
            in_failure?: boolean;
            /** @description Failure: the most urgent step's deadline. */
            recommended_action?: string;
            /** @description Failure: the first contributing factor as a sentence. */
            top_factor?: string;
            /** @description Anomaly: whether the reading is one. */
            is_anomaly?: boolean;
            /** @description Anomaly: 0 to 100. */
            anomaly_score?: number;
            /** @description Anomaly: what kind, if any. */
            anomaly_type?: string | null;
        };
        Acknowledged: {
            /** @description The name of the key. */
            by: string;
            /**
             * Format: date-time
             * @description When.
             */
            at: string;
            /** @description The note. */
            note: string | null;
        };
        Assigned: {
            /** @description A person or team. */
            to: string;
            /** @description The name of the key. */
            by: string;
            /**
             * Format: date-time
             * @description When.
             */
            at: string;
        };
        Muted: {
            /**
             * Format: date-time
             * @description The end.
             */
            until: string;
            /** @description Why. */
            reason: string;
            /** @description The name of the key. */
            by: string;
            /**
             * Format: date-time
             * @description When.
             */
            at: string;
        };
        Alert: {
            /** @description As in the alert topics. */
            alert_id: string;
            /** @description The tenant. */
            tenant_id: string | null;
            /**
             * @description The verdict that opened it.
             * @enum {string}
             */
            kind: "failure" | "anomaly";
            /** @description The charger. */
            charger_id: string;
            /**
             * @description The state of the alert.
             * @enum {string}
             */
            state: "open" | "closed";
            /**
             * Format: date-time
             * @description When the reading that opened it was taken.
             */
            opened_at: string | null;
            /** @description The event id of that reading's record. */
            opened_by: string;
            /**
             * Format: date-time
             * @description When the reading that closed it was taken; null while it is open.
             */
            closed_at: string | null;
            opening: components["schemas"]["AlertVerdict"] | null;
            closing: components["schemas"]["AlertVerdict"] | null;
            acknowledged: components["schemas"]["Acknowledged"] | null;
            assigned: components["schemas"]["Assigned"] | null;
            muted: components["schemas"]["Muted"] | null;
        };
        Charger: {
            /** @description The charger. */
            charger_id: string;
            /** @description Those that are known. */
            attributes: components["schemas"]["Attributes"];
            /** @description As it was scored, with its own time; null without one. */
            newest_reading: components["schemas"]["Reading"] | null;
            /** @description The newest failure prediction; null without one. */
            failure: components["schemas"]["FailurePrediction"] | null;
            /** @description The cached schedule, or one of the newest reading; null without both. */
            maintenance: components["schemas"]["MaintenanceSchedule"] | null;
            /** @description The cached verdict, or one of the newest reading; null without both. */
            anomaly: components["schemas"]["AnomalyVerdict"] | null;
            /** @description The newest reading is older than 24 hours; null without one. */
            reading_stale: boolean | null;
            /** @description The newest first, at most 20. */
            open_alerts: components["schemas"]["Alert"][];
        };
        StoredAttributes: {
            /** @description The charger. */
            charger_id: string;
            /** @description Those that are known. */
            attributes: components["schemas"]["Attributes"];
        };
        VisitsDue: {
            /** @description Chargers with this action. */
            IMMEDIATE: number;
            /** @description Chargers with this action. */
            WITHIN_7_DAYS: number;
            /** @description Chargers with this action. */
            WITHIN_30_DAYS: number;
        };
        Site: {
            /** @description The site; null for all chargers without one. */
            site_id: string | null;
            /** @description With a newest verdict, or with attributes alone. */
            chargers: number;
            /** @description The highest probability of a failure within 30 days, 0 to 1; null if no charger has a verdict. */
            highest_risk: number | null;
            visits_due: components["schemas"]["VisitsDue"];
            /** @description Sum of the positive net savings of visits; null if none are known. In `currency`. */
            cost_of_waiting: number | null;
            /** @description ISO 4217, as configured; null without costs. */
            currency: string | null;
            /** @description Chargers whose costs are in another currency, and not in the sum. */
            other_currency: number;
        };
        SitePage: {
            items: components["schemas"]["Site"][];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in all. */
            total?: number;
        };
        AttributeFile: {
            /** @description Rows that are stored. */
            stored: number;
            /** @description Rows that are wrong, and not stored. */
            failed: number;
            /** @description Of the first wrong rows. */
            errors: components["schemas"]["RowProblem"][];
            /** @description Columns that are no attribute, as in a job. */
            ignored_columns: string[];
        };
        Model: {
            /** @description failure, maintenance or anomaly. */
            name: string;
            /** @description The version folder's name. */
            version: string;
            /** @description What kind of model. */
            type: string;
            /** @description active, or partial while workers differ. */
            status: string;
            /**
             * Format: date-time
             * @description When the worker loaded it.
             */
            loaded_at: string | null;
            /**
             * Format: date-time
             * @description When it was trained.
             */
            trained_at: string | null;
            trained_on: unknown;
            metrics: unknown;
            /** @description `{version, problem}` of the version that scores beside it, if any. */
            shadow: unknown;
            /** @description `{version, problem}` of the active version that a worker has refused, if any. This one serves in its place. */
            refused: unknown;
        };
        Models: {
            models: components["schemas"]["Model"][];
            total: number;
        };
        Reload: {
            /** @description reloaded, or requested while some worker has not answered yet. */
            status: string;
            /** @description Worker processes that hold models. */
            workers: number;
            models: components["schemas"]["Model"][];
        };
        ModelCard: {
            /** @description failure, maintenance or anomaly. */
            name: string;
            /** @description The active version. */
            active: string;
            /** @description The version that scores beside it without answering. */
            shadow: string | null;
            versions: string[];
            /** @description Version and last problem of each worker. */
            held: unknown[];
            /** @description `{policy, threshold, reason}`: the failure probability from which an alert opens under ML_ALERT_POLICY. `threshold` is null if none keeps the promise, and `reason` says why. Null for other models. */
            alerts: unknown;
            /** @description The active version's manifest. A horizon whose `carried_from` is not null was not observed in training; its `metrics` have the `reason` and no figure. */
            card: unknown;
        };
        Activate: {
            /** @description A version folder's name. */
            version: string;
        };
        Switch: {
            /** @description The model. */
            name: string;
            /** @description The version. */
            version: string;
            /** @description active, shadow, verified, or requested while some worker has not switched yet. */
            status: string;
        };
        HistoryShare: {
            /** @description Readings with a past. */
            share_now: number | null;
            /** @description The same in training. */
            share_training: number | null;
            /** @description Most pasts are shorter than nine of ten in training. */
            short: boolean;
        };
        Distribution: {
            /** @description Population stability index; null for fewer than 500 readings. */
            psi: number | null;
            /**
             * @description stable below 0.1, look below 0.25, then drifted; short_history: the pasts gathered so far are shorter than those of training, which says nothing of the chargers.
             * @enum {string}
             */
            status: "too_few_readings" | "short_history" | "stable" | "look" | "drifted";
            /** @description Readings that count here. */
            readings: number;
            /** @description Of these readings, without this value. */
            missing_share_now: number | null;
            /** @description The same in training. */
            missing_share_training: number;
            /** @description Between the bins. */
            edges: number[];
            /** @description Of each bin, missing values last. */
            shares_now: number[] | null;
            shares_training: number[];
        };
        FeatureDrift: {
            /** @description Population stability index; null for fewer than 500 readings. */
            psi: number | null;
            /**
             * @description stable below 0.1, look below 0.25, then drifted; short_history: the pasts gathered so far are shorter than those of training, which says nothing of the chargers.
             * @enum {string}
             */
            status: "too_few_readings" | "short_history" | "stable" | "look" | "drifted";
            /** @description Readings that count here. */
            readings: number;
            /** @description Of these readings, without this value. */
            missing_share_now: number | null;
            /** @description The same in training. */
            missing_share_training: number;
            /** @description Between the bins. */
            edges: number[];
            /** @description Of each bin, missing values last. */
            shares_now: number[] | null;
            shares_training: number[];
            /** @description The model's name for it. */
            feature: string;
            /**
             * @description reading: of the reading itself; history: made of the charger's past, and compared among readings that have one.
             * @enum {string}
             */
            source: "reading" | "history";
            /** @description It follows the seasons: look from 1.5, drifted from 2.5. */
            seasonal: boolean;
        };
        Drift: {
            /** @description failure, maintenance or anomaly. */
            name: string;
            /** @description The active version; counting begins anew with each. */
            version: string;
            /**
             * @description How far back.
             * @enum {string}
             */
            window: "24h" | "7d";
            /**
             * @description The worst of score and features that can be judged.
             * @enum {string}
             */
            status: "too_few_readings" | "short_history" | "stable" | "look" | "drifted";
            /** @description Sampled and not in failure, of all tenants. */
            readings: number;
            /** @description Sampled and in failure: left out, for training has none. */
            in_failure: number;
            history: components["schemas"]["HistoryShare"];
            /** @description Features by PSI. */
            drifted: string[];
            score: components["schemas"]["Distribution"];
            /** @description Largest PSI first. */
            features: components["schemas"]["FeatureDrift"][];
        };
        ShadowHolder: {
            /** @description Worker process. */
            worker: string;
            /** @description The shadow version it was asked to hold. */
            version: string | null;
            /** @description Why it refused it; null if it holds it. */
            problem: string | null;
        };
        Shadow: {
            /** @description failure, maintenance or anomaly. */
            name: string;
            /** @description The version that answers. */
            active: string;
            /** @description The version that scores beside it. */
            shadow: string;
            /** @description Why it was refused, if it was. */
            problem: string | null;
            workers: components["schemas"]["ShadowHolder"][];
            /**
             * Format: date-time
             * @description When the first sums of this pair were written.
             */
            since: string | null;
            /**
             * Format: date-time
             * @description When the newest were.
             */
            until: string | null;
            /** @description An alert is a score from here on: ML_ALERT_THRESHOLD, or an anomaly's 0.5. */
            threshold: number;
            /** @description Scored by both, of all tenants: a sample where traffic is high. */
            readings: number;
            /** @description The shadow could not score them. */
            failed: number;
            /** @description There was no time to compare them. */
            dropped: number;
            /** @description `readings` of `readings`, `failed` and `dropped` together; null before the first. */
            scored_share: number | null;
            /** @description Mean score, 0 to 1. */
            mean_active: number | null;
            /** @description Mean score, 0 to 1. */
            mean_shadow: number | null;
            /** @description Of the two scores of a reading. */
            mean_absolute_difference: number | null;
            /** @description Of the two scores of a reading. */
            largest_difference: number | null;
            /** @description Spearman's, of the bands; null if one side has one band. */
            rank_correlation: number | null;
            alerts_active: number;
            alerts_shadow: number;
            alerts_both: number;
            /** @description Alerts of both, of the alerts of either. */
            alert_agreement: number | null;
            /** @description Edges of the score's bands. */
            bands: number[];
            /** @description Readings by band: rows are the active version's, columns the shadow's. */
            table: number[][];
        };
        ReportedOutcome: {
            /** @description Names the outcome in the other calls. */
            outcome_id: string;
            /** @description The charger. */
            charger_id: string;
            /** @description What happened. */
            outcome: string;
            /**
             * Format: date-time
             * @description When it happened.
             */
            occurred_at: string;
            /** @description Whether a verdict of the 30 days before is stored. */
            verdict_known: boolean;
            /** @description Whether that verdict asked for action within 7 days. */
            alerted: boolean;
        };
        OutcomePage: {
            items: components["schemas"]["ReportedOutcome"][];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in all. */
            total?: number;
        };
        Outcome: {
            /** @example EVZ-0042 */
            charger_id: string;
            /** @enum {string} */
            outcome: "failed" | "repaired" | "false_alarm";
            /**
             * Format: date-time
             * @description ISO 8601.
             * @example 2026-11-20T08:30:00Z
             */
            occurred_at: string;
        };
        OutcomeAccepted: {
            /** @description Names the outcome in the other calls. */
            outcome_id: string;
            /** @description The charger. */
            charger_id: string;
            /** @description What happened. */
            outcome: string;
            /**
             * Format: date-time
             * @description When it happened.
             */
            occurred_at: string;
            /** @description Whether a verdict of the 30 days before is stored. */
            verdict_known: boolean;
            /** @description Whether that verdict asked for action within 7 days. */
            alerted: boolean;
            /**
             * @deprecated
             * @description The same as `alerted`, which replaces it.
             */
            called: boolean;
        };
        Estimate: {
            /** @description Expected, 0 to 1. */
            value: number;
            /** @description The realised share is at least this, with probability `coverage` for both limits. */
            low: number;
            /** @description The realised share is at most this. */
            high: number;
        };
        ExpectedQuality: {
            /** @description The alert threshold in force; null if there is none. */
            threshold: number | null;
            /** @description Why there is no threshold. */
            reason: string | null;
            /** @description Probability of the limits. */
            coverage: number;
            /** @description Not FAULTY, with a verdict. */
            chargers: number;
            /** @description From the threshold on. */
            alerts: number;
            precision: components["schemas"]["Estimate"] | null;
            recall: components["schemas"]["Estimate"] | null;
            pr_auc: components["schemas"]["Estimate"] | null;
        };
        LiveQuality: {
            outcomes: {
                [key: string]: number;
            };
            without_verdict: number;
            /** @description Alerts that came true, of those reported on. */
            precision: number | null;
            /** @description Failures that had been alerted. */
            recall: number | null;
            /** @description From the alerting reading to the failure. */
            median_lead_hours: number | null;
            calibration: unknown[];
            expected: components["schemas"]["ExpectedQuality"];
        };
        OutcomeKindCorrection: {
            /** @enum {string} */
            outcome: "failed" | "repaired" | "false_alarm";
            /**
             * Format: date-time
             * @description ISO 8601.
             * @example 2026-11-20T08:30:00Z
             */
            occurred_at?: string;
        };
        OutcomeTimeCorrection: {
            /** @enum {string} */
            outcome?: "failed" | "repaired" | "false_alarm";
            /**
             * Format: date-time
             * @description ISO 8601.
             * @example 2026-11-20T08:30:00Z
             */
            occurred_at: string;
        };
        KafkaTopics: {
            /** @description Readings to score are sent here. */
            readings: string;
            /** @description A failure prediction of each reading. */
            predictions: string;
            /** @description Records that could not be read or scored. */
            dead_letters: string;
            /** @description Failure alerts that open and close. */
            alerts: string;
            /** @description Anomaly alerts that open and close. */
            anomalies: string;
            /** @description OCPP events are sent here; null if the service reads none. */
            ocpp_events: string | null;
        };
        KafkaInfo: {
            /** @description host:port of the brokers, as the service itself reaches them. */
            bootstrap_servers: string[];
            /** @description PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL. */
            security_protocol: string;
            /** @description The SASL mechanism; null without SASL. */
            sasl_mechanism: string | null;
            /** @description The consumer group of the service. Readers of results need another one. */
            group_id: string;
            topics: components["schemas"]["KafkaTopics"];
        };
        ServiceInfo: {
            /** @description This service's name. */
            service: string;
            /** @description This service's version. */
            version: string;
            kafka: components["schemas"]["KafkaInfo"];
        };
        Check: {
            /** @description ok, down or absent. */
            status: string;
            /** @description For a person. */
            detail: string;
        };
        Health: {
            /**
             * @description healthy or degraded.
             * @enum {string}
             */
            status: "healthy" | "degraded";
            /** @description This service's name. */
            service?: string;
            /** @description This service's version. */
            version?: string;
            checks?: {
                [key: string]: components["schemas"]["Check"];
            };
        };
        WebhookTotals: {
            /** @description Events. */
            delivered: number;
            /** @description Attempts, not events. */
            failed: number;
            /** @description Events without further attempts. */
            parked: number;
            /** @description Events for which the outbox had no room, or parked too long. */
            dropped: number;
        };
        Webhook: {
            /** @description Names the webhook in the other calls. */
            id: string;
            /** @description Events are sent here. */
            url: string;
            types: string[];
            /** @description Events of this tenant only; null: events of all tenants. */
            tenant_id: string | null;
            /**
             * Format: date-time
             * @description When it was added.
             */
            created_at: string;
            /** @enum {string} */
            state: "active" | "disabled";
            /** @description Why it is disabled; null while it is active. */
            reason: string | null;
            /** @description Events that wait for their next attempt. */
            outbox: number;
            /** @description Events that are parked now. */
            parked: number;
            totals: components["schemas"]["WebhookTotals"];
        };
        WebhookPage: {
            items: components["schemas"]["Webhook"][];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in all. */
            total?: number;
        };
        NewWebhook: {
            /**
             * @description Events are sent here by POST. Its addresses must be public.
             * @example https://example.com/hooks/ml
             */
            url: string;
            /**
             * @description Types of the events that are sent.
             * @example [
             *       "job.ended"
             *     ]
             */
            types: ("alert.opened" | "alert.closed" | "job.ended" | "model.activated" | "drift.detected" | "charger.action_changed")[];
        };
        NewWebhookAnswer: {
            /** @description Names the webhook in the other calls. */
            id: string;
            /** @description Events are sent here. */
            url: string;
            types: string[];
            /** @description Events of this tenant only; null: events of all tenants. */
            tenant_id: string | null;
            /**
             * Format: date-time
             * @description When it was added.
             */
            created_at: string;
            /** @enum {string} */
            state: "active" | "disabled";
            /** @description Why it is disabled; null while it is active. */
            reason: string | null;
            /** @description Events that wait for their next attempt. */
            outbox: number;
            /** @description Events that are parked now. */
            parked: number;
            totals: components["schemas"]["WebhookTotals"];
            /** @description Verifies the signatures. It is shown once. */
            secret: string;
        };
        Failure: {
            /** @description The id of the event, which is `webhook-id` of each attempt. */
            event_id: string;
            /** @description The type of the event. */
            type: string;
            /** @description The tenant of the event; null without one. */
            tenant_id: string | null;
            /**
             * Format: date-time
             * @description When it happened.
             */
            time: string;
            /** @enum {string} */
            state: "waiting" | "parked";
            /** @description Failed attempts. */
            attempts: number;
            /** @description Of the last attempt. */
            error: string | null;
            /**
             * Format: date-time
             * @description When it is tried again; null if it is parked.
             */
            next_attempt_at: string | null;
        };
        FailurePage: {
            items: components["schemas"]["Failure"][];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in all. */
            total?: number;
        };
        Replay: {
            /** @description Parked events that are sent again. */
            replayed: number;
        };
        AlertPage: {
            items: components["schemas"]["Alert"][];
            /** @description Cursor of the next page; null at the end. */
            next: string | null;
            /** @description How many there are in this state; null with other filters. */
            total: number | null;
        };
        AlertEvent: {
            /**
             * Format: date-time
             * @description When it was recorded.
             */
            at: string;
            /** @description opened, closed, acknowledged, assigned, unassigned, muted or unmuted. */
            event: string;
            /** @description The name of the key; null for the service. */
            by: string | null;
            /** @description Of an acknowledgement. */
            note?: string | null;
            /** @description Of an assignment. */
            to?: string;
            /** @description Of a muting. */
            until?: string;
            /** @description Of a muting. */
            reason?: string;
        };
        AlertWithStory: {
            /** @description As in the alert topics. */
            alert_id: string;
            /** @description The tenant. */
            tenant_id: string | null;
            /**
             * @description The verdict that opened it.
             * @enum {string}
             */
            kind: "failure" | "anomaly";
            /** @description The charger. */
            charger_id: string;
            /**
             * @description The state of the alert.
             * @enum {string}
             */
            state: "open" | "closed";
            /**
             * Format: date-time
             * @description When the reading that opened it was taken.
             */
            opened_at: string | null;
            /** @description The event id of that reading's record. */
            opened_by: string;
            /**
             * Format: date-time
             * @description When the reading that closed it was taken; null while it is open.
             */
            closed_at: string | null;
            opening: components["schemas"]["AlertVerdict"] | null;
            closing: components["schemas"]["AlertVerdict"] | null;
            acknowledged: components["schemas"]["Acknowledged"] | null;
            assigned: components["schemas"]["Assigned"] | null;
            muted: components["schemas"]["Muted"] | null;
            story: components["schemas"]["AlertEvent"][];
        };
        Acknowledgement: {
            /** @description What you found, or will do. */
            note?: string | null;
        };
        Assignment: {
            /** @description A person or team; null ends the assignment. */
            to: string | null;
        };
        MutingUntil: {
            /**
             * Format: date-time
             * @description ISO 8601, at most 90 days ahead.
             * @example 2026-12-20T08:30:00Z
             */
            until: string;
            /** @description From now. */
            hours?: number;
            /** @description Why. */
            reason: string;
        };
        MutingForHours: {
            /**
             * Format: date-time
             * @description ISO 8601, at most 90 days ahead.
             * @example 2026-12-20T08:30:00Z
             */
            until?: string;
            /** @description From now. */
            hours: number;
            /** @description Why. */
            reason: string;
        };
    };
    responses: {
        /** @description Any other problem; see `code`. */
        DEFAULT_ERROR: {
            headers: {
                [name: string]: unknown;
            };
            content: {
                "application/problem+json": components["schemas"]["Problem"];
            };
        };
    };
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
