import { expect, galata, test as base } from '@jupyterlab/galata';
import * as utils from '@jupyterlab/galata/lib/utils';
import { Cluster } from './cluster';
import { Notebook, fileOf } from './notebook';

export { expect, galata };

// Galata gives JupyterLab 15 s for each step, which a busy machine with two processors may exceed.
// The time of the whole test is the bound.
const waitForCondition = utils.waitForCondition;
Object.assign(utils, {
  waitForCondition: (condition: () => boolean | Promise<boolean>) =>
    waitForCondition(condition, 100_000)
});

interface IFixtures {
  cluster: Cluster;
  /** The notebook that is to be seen. */
  notebook: Notebook;
  /** Open a new notebook of these code cells, with a kernel of this profile. */
  openNotebook: (
    profile: string,
    cells: string[],
    more?: { name?: string; metadata?: object }
  ) => Promise<Notebook>;
}

export const test = base.extend<IFixtures>({
  cluster: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const cluster = new Cluster(process.env.LAB_NAMESPACE!);
      // A real cluster takes a while to end the former test's.
      await expect.poll(() => cluster.kernels()).toEqual([]);
      await use(cluster);
      await cluster.clear();
    },
    { auto: true }
  ],

  page: async ({ page }, use) => {
    // What of ours breaks in a page fails its test, also where nothing is seen of that.
    const errors: Error[] = [];
    // Stock galata takes each POST for a new kernel.
    await page.route(/\/api\/kernels\/[^/]+\/(interrupt|restart)/, route =>
      route.continue()
    );
    page.on('pageerror', error => {
      if (error.stack?.includes('/extensions/jupyter-kube/')) {
        errors.push(error);
      }
    });
    await use(page);
    expect(errors).toEqual([]);
  },

  // Stock galata wants the launcher to be in front, which it is not after a reload.
  waitForApplication: async ({ baseURL: _ }, use) => {
    await use(async page => {
      await page.locator('#jupyterlab-splash').waitFor({ state: 'detached' });
    });
  },

  notebook: async ({ page }, use) => use(new Notebook(page)),

  openNotebook: async ({ page, tmpPath, notebook }, use) => {
    await use(async (profile, cells, { name = 'story', metadata } = {}) => {
      const path = `${tmpPath}/${name}.ipynb`;
      const file = fileOf(profile, cells, metadata);
      await page.contents.uploadContent(file, 'text', path);
      await page.evaluate(
        async path =>
          (window as any).jupyterapp.commands.execute('docmanager:open', {
            path
          }),
        path
      );
      return notebook;
    });
  }
});
