import { execFileSync } from 'child_process';

/** Raises with the tool's words if the types are not what the description gives. */
it('has types that are those of openapi.yaml', () => {
  execFileSync(process.execPath, [
    'node_modules/openapi-typescript/bin/cli.js',
    '../jupyter_kube/handlers/openapi.yaml',
    '--output',
    'src/openapi.ts',
    '--check'
  ]);
});
