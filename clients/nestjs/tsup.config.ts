import { defineConfig } from 'tsup';

// Each entry point for `import` and for `require`, with types for both.
export default defineConfig({
  entry: { index: 'src/index.ts', 'kafka/index': 'src/kafka/index.ts' },
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: true,
  clean: true,
  sourcemap: true,
});
