import { expect, galata, test as base } from '@jupyterlab/galata';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import * as utils from '@jupyterlab/galata/lib/utils';
import type { Locator } from '@playwright/test';
import { Cluster } from './cluster';

export { expect, galata };

// Galata gives JupyterLab 15 s for each step, which a busy machine with two processors may exceed.
// The time of the whole test is the bound.
const waitForCondition = utils.waitForCondition;
Object.assign(utils, {
  waitForCondition: (condition: () => boolean | Promise<boolean>) =>
    waitForCondition(condition, 100_000)
});

/** A notebook that is open in JupyterLab. */
export class Notebook {
  constructor(readonly page: IJupyterLabPageFixture) {}

  cell(index: number): Locator {
    return this.page.locator('.jp-NotebookPanel:visible .jp-Cell').nth(index);
  }

  output(index: number): Locator {
    return this.cell(index).locator('.jp-Cell-outputWrapper');
  }

  /** Wait until the kernel answers: JupyterLab forgets cells that are run before there is one. */
  async ready(): Promise<void> {
    await this.page.waitForFunction(() => {
      const panel = (window as any).jupyterapp.shell.currentWidget;
      return panel?.sessionContext?.session?.kernel?.status === 'idle';
    });
  }

  /** Run a cell as a user does, and do not wait for it. */
  async run(index: number): Promise<void> {
    await this.cell(index).locator('.cm-content').click();
    await this.page.keyboard.press('Control+Enter');
  }
}

interface IFixtures {
  cluster: Cluster;
  /** Open a new notebook of these code cells, with a kernel of this profile. */
  openNotebook: (profile: string, cells: string[]) => Promise<Notebook>;
}

export const test = base.extend<IFixtures>({
  cluster: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const cluster = new Cluster(process.env.LAB_NAMESPACE!);
      await use(cluster);
      await cluster.clear();
    },
    { auto: true }
  ],

  // Stock galata wants the launcher to be in front, which it is not after a reload.
  waitForApplication: async ({ baseURL: _ }, use) => {
    await use(async page => {
      await page.locator('#jupyterlab-splash').waitFor({ state: 'detached' });
    });
  },

  openNotebook: async ({ page, tmpPath }, use) => {
    await use(async (profile, cells) => {
      const path = `${tmpPath}/story.ipynb`;
      await page.contents.uploadContent(notebook(profile, cells), 'text', path);
      await page.evaluate(
        async path =>
          (window as any).jupyterapp.commands.execute('docmanager:open', {
            path
          }),
        path
      );
      return new Notebook(page);
    });
  }
});

/** The file of a notebook. */
export function notebook(profile: string, cells: string[]): string {
  return JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      kernelspec: {
        name: `kube-${profile}`,
        display_name: profile,
        language: 'python'
      },
      language_info: { name: 'python' }
    },
    cells: cells.map((source, index) => ({
      cell_type: 'code',
      id: `cell-${index}`,
      execution_count: null,
      metadata: {},
      outputs: [],
      source
    }))
  });
}
