import { execFile } from 'child_process';
import { promisify } from 'util';

const run = promisify(execFile);

/** An object of Kubernetes, as far as tests look at it. */
export interface IObject {
  metadata: {
    name: string;
    uid: string;
    labels?: Record<string, string>;
    annotations?: Record<string, string>;
  };
  spec: any;
  status: any;
}

/** What kubectl sees of the cluster that the tests run on. */
export class Cluster {
  constructor(readonly namespace: string) {}

  /** Run kubectl in the namespace; gives what it prints. */
  async kubectl(...args: string[]): Promise<string> {
    const { stdout } = await run('kubectl', ['-n', this.namespace, ...args], {
      maxBuffer: 2 ** 28
    });
    return stdout;
  }

  async list(kind: string): Promise<IObject[]> {
    return JSON.parse(await this.kubectl('get', kind, '-o', 'json')).items;
  }

  /** The kernels' pods. */
  async kernels(): Promise<IObject[]> {
    const pods = await this.list('pods');
    return pods.filter(
      pod => pod.metadata.labels?.['app.kubernetes.io/component'] === 'kernel'
    );
  }

  /** The pods of a job. */
  async workers(job: string): Promise<string[]> {
    const pods = await this.list('pods');
    return pods
      .map(({ metadata }) => metadata.name)
      .filter(name => name.startsWith(`${job}-`));
  }

  /** Have a job's workers end that wait for it, as the cells in `cells.ts` do. */
  async finish(job: string): Promise<void> {
    for (const pod of await this.workers(job)) {
      await this.kubectl('exec', pod, '--', 'touch', `/tmp/${pod}-go`);
    }
  }

  /** Remove all jobs, and wait until no pod of theirs is left. */
  async clear(): Promise<void> {
    await this.kubectl('delete', 'jobs', '--all', '--cascade=foreground');
  }
}
