import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';

const PACKAGE = path.join(__dirname, '..');

/** Exit code and output of `npm run example` in a copy of the repository's folders. */
function run(folder: string, environment: Record<string, string>): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env.PATH, HOME: folder, ...environment };
    execFile('npm', ['run', '--silent', 'example'], { cwd: folder, env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, output: stdout + stderr });
    });
  });
}

describe('npm run example', () => {
  let checkout: string;
  let folder: string;

  beforeEach(() => {
    checkout = mkdtempSync(path.join(tmpdir(), 'example-'));
    folder = path.join(checkout, 'clients', 'nestjs');
    mkdirSync(folder, { recursive: true });
    for (const name of ['package.json', 'tsconfig.json', 'scripts', 'example', 'src']) {
      cpSync(path.join(PACKAGE, name), path.join(folder, name), { recursive: true });
    }
  });

  afterEach(() => {
    rmSync(checkout, { recursive: true });
  });

  const install = (): void => {
    symlinkSync(path.join(PACKAGE, 'node_modules'), path.join(folder, 'node_modules'));
  };

  it('says in a line that the packages are not installed', async () => {
    expect(await run(folder, {})).toEqual({
      code: 2,
      output: 'The packages of clients/nestjs are not installed. Run: npm ci\n',
    });
  });

  it('says in a line which variables are missing', async () => {
    install();
    expect(await run(folder, { ML_SERVICE_URL: 'http://localhost:8000' })).toEqual({
      code: 2,
      output: 'Not set: ML_SERVICE_API_KEY. Set them, or start a service in this checkout: make run\n',
    });
  });

  it('says in a line that its port is in use, with the settings of the service in the checkout', async () => {
    install();
    writeFileSync(path.join(checkout, '.env'), 'ML_SERVICE_API_KEY=one:predict,two\nPORT=8123\n');
    const taken = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => taken.once('listening', resolve));
    const { port } = taken.address() as AddressInfo;
    const { code, output } = await run(folder, { PORT: String(port) });
    taken.close();
    expect(code).toBe(1);
    expect(output).toContain(`Port ${port} is in use. Another one: PORT=3001 npm run example\n`);
    expect(output).not.toContain('    at ');
  }, 60_000);
});
