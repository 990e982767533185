import { expect } from '@jupyterlab/galata';
import type { IJupyterLabPageFixture } from '@jupyterlab/galata';
import type { Locator } from '@playwright/test';

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

  /** The notebook as it is in its file. */
  async saved(): Promise<any> {
    return this.page.evaluate(async () => {
      const { shell, serviceManager } = (window as any).jupyterapp;
      const { path } = shell.currentWidget.context;
      return (await serviceManager.contents.get(path)).content;
    });
  }

  /** Write into a cell. */
  async write(index: number, source: string): Promise<void> {
    await this.cell(index).locator('.cm-content').fill(source);
  }

  /** Run a cell until it says so: JupyterLab forgets cells that are run while a kernel restarts. */
  async runUntil(index: number, words: string): Promise<void> {
    await expect(async () => {
      await this.run(index);
      await expect(this.output(index)).toContainText(words, { timeout: 5_000 });
    }).toPass();
  }

  /** Run a cell as a user does, and do not wait for it. */
  async run(index: number): Promise<void> {
    await this.cell(index).locator('.cm-content').click();
    await this.page.keyboard.press('Control+Enter');
  }
}

/** The file of a notebook of these code cells. */
export function fileOf(
  profile: string,
  cells: string[],
  metadata: object = {}
): string {
  return JSON.stringify({
    nbformat: 4,
    nbformat_minor: 5,
    metadata: {
      ...metadata,
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
