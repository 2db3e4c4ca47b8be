import { defineConfig } from 'tsup';

// Each entry point for `import` and for `require`, with types for both.
export default defineConfig({
  entry: { index: 'src/index.ts', 'kafka/index': 'src/kafka/index.ts' },
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: true,
  clean: true,
  sourcemap: true,
  // ES modules have no `require`, which loads the optional package of src/trace-context.ts.
  banner: ({ format }) =>
    format === 'esm'
      ? {
          js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
        }
      : {},
});
