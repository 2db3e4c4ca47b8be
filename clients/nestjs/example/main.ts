import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { AppModule } from './app.module';

async function main(): Promise<void> {
  const port = process.env.PORT ?? '3000';
  try {
    // eslint-disable-next-line @typescript-eslint/no-unsafe-class-instance-assignment -- Nest's options are a class
    const app = await NestFactory.create(AppModule, { abortOnError: false });
    app.enableShutdownHooks();
    await app.listen(port, '127.0.0.1');
    console.log(`The fleet by risk: ${await app.getUrl()} (Ctrl-C ends it)`);
  } catch (error) {
    const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
    const why = error instanceof Error ? error.message : String(error);
    console.error(inUse ? `Port ${port} is in use. Another one: PORT=3001 npm run example` : why);
    process.exit(1);
  }
}

void main();
