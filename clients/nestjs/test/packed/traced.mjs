// A traced application that calls the service by the built package, found by its own name. It is no `node -e`,
// which would have a global `require`.
import { context, propagation, ROOT_CONTEXT } from '@opentelemetry/api';
import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { createRequire } from 'node:module';

const [how, url, apiKey, traceparent] = process.argv.slice(2);
const name = '@evzone/ml-client';
const { MLClientService } = how === 'import' ? await import(name) : createRequire(import.meta.url)(name);

new NodeTracerProvider().register();
const caller = propagation.extract(ROOT_CONTEXT, { traceparent });
const health = await context.with(caller, () => new MLClientService({ url, apiKey }).healthCheck());
process.stdout.write(health.status);
