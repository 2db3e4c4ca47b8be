// Build the scripts and styles of the console from `node_modules` and this folder into ../static.
// The result is committed, so that a machine without Node.js can serve it. CI checks that it is up to date.
import { build } from "esbuild";
import { copyFile, mkdir, readdir, rm, writeFile } from "node:fs/promises";

const OUT = new URL("../static/", import.meta.url).pathname;
// The policy `default-src 'self'` allows no data: addresses, so pictures within styles become files.
const DATA_URL = /url\("data:image\/svg\+xml,([^"]+)"\)/g;

for (const name of await readdir(OUT).catch(() => [])) await rm(OUT + name, { recursive: true });
await mkdir(OUT, { recursive: true });
const built = await build({
  entryPoints: ["console.js", "jobs.js", "plots.js", "console.css"],
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  legalComments: "eof",
  outdir: OUT,
  // Addresses within styles are relative to them.
  external: ["*.svg"],
  write: false,
});
const pictures = [];
for (const file of built.outputFiles) {
  const text = file.text.replace(DATA_URL, (_, encoded) => {
    const picture = decodeURIComponent(encoded);
    if (!pictures.includes(picture)) pictures.push(picture);
    return `url("icon-${pictures.indexOf(picture) + 1}.svg")`;
  });
  await writeFile(file.path, text);
}
await Promise.all(pictures.map((picture, place) => writeFile(`${OUT}icon-${place + 1}.svg`, picture)));
await copyFile("favicon.svg", `${OUT}favicon.svg`);
