import { expect, test as base } from '@playwright/test';
import type { Locator, Page } from '@playwright/test';
import { mkdirSync } from 'fs';
import { join } from 'path';
import { Cluster } from '../support/cluster';
import { fileOf } from '../support/notebook';

export { expect };

/** Where pictures go. */
export const FOLDER = process.env.PICTURES!;

/** JupyterLab with a notebook, as its user sees it. */
export class Lab {
  constructor(readonly page: Page) {}

  /** Open a new notebook of these cells alone, and wait until its kernel answers. */
  async open(name: string, profile: string, cells: string[]): Promise<void> {
    await this.show(name, profile, cells);
    await expect(this.page.locator('#jp-main-statusbar')).toContainText('Idle');
  }

  /** Open a new notebook of these cells alone. */
  async show(name: string, profile: string, cells: string[]): Promise<void> {
    const token = process.env.PICTURES_TOKEN!;
    const headers = { Authorization: `token ${token}` };
    const content = JSON.parse(fileOf(profile, cells));
    await this.page.request.put(`api/contents/${name}`, {
      headers,
      data: { type: 'notebook', format: 'json', content }
    });
    await this.page.goto(`lab/tree/${name}?token=${token}&reset`);
  }

  get cells(): Locator {
    return this.page.locator('.jp-NotebookPanel:visible .jp-Cell');
  }

  cell(index: number): Locator {
    return this.cells.nth(index);
  }

  output(index: number): Locator {
    return this.cell(index).locator('.jp-Cell-outputWrapper');
  }

  /** Run a cell, and do not wait for it. */
  async run(index: number): Promise<void> {
    await this.cell(index).locator('.cm-content').click();
    await this.page.keyboard.press('Control+Enter');
  }

  /** Run a cell to its end. */
  async runWhole(index: number): Promise<void> {
    await this.run(index);
    await expect(this.cell(index).locator('.jp-InputPrompt')).toHaveText(
      /\[\d+\]/
    );
  }

  /** Show the sidebar of kernels and jobs. */
  async sidebar(): Promise<Locator> {
    await this.command('jupyter-kube:show-sidebar');
    const sidebar = this.page.locator('.jp-KubeSidebar');
    await expect(sidebar).toContainText('Reachable');
    return sidebar;
  }

  async command(id: string, args = {}): Promise<void> {
    await this.page.evaluate(
      ([id, args]) =>
        (window as any).jupyterapp.commands.execute(id, args) && undefined,
      [id, args] as const
    );
  }

  /** The texts that are cut off, but for those that say so by three dots. */
  async clipped(within: Locator): Promise<string[]> {
    return within.evaluate(node =>
      Array.from(node.querySelectorAll<HTMLElement>('*'))
        .filter(each => {
          const style = getComputedStyle(each);
          return (
            each.clientWidth > 1 && // those that are heard only are not seen
            each.scrollWidth > each.clientWidth + 1 &&
            style.overflowX === 'hidden' &&
            style.textOverflow !== 'ellipsis'
          );
        })
        .map(each => each.textContent ?? '')
    );
  }

  /** Leave nothing that blinks, hovers or has the focus. */
  async rest(): Promise<void> {
    await this.page.mouse.move(1279, 799);
    await this.page.evaluate(() =>
      (document.activeElement as HTMLElement)?.blur()
    );
  }

  /** Take a picture of the page, or of something in it. */
  async picture(name: string, of?: Locator): Promise<void> {
    const path = join(FOLDER, `${name}.png`);
    await (of ?? this.page).screenshot({ path });
  }

  /** Take a picture of a part of the notebook, which must be seen whole. */
  async partPicture(name: string, part: Locator): Promise<void> {
    const pane = this.page.locator('.jp-NotebookPanel-notebook:visible');
    await expect(async () => {
      await part.evaluate(node => node.scrollIntoView({ block: 'end' }));
      const [all, one] = [await pane.boundingBox(), await part.boundingBox()];
      expect(one!.y).toBeGreaterThanOrEqual(all!.y);
      expect(one!.y + one!.height).toBeLessThan(all!.y + all!.height + 1);
    }).toPass();
    await this.picture(name, part);
  }
}

export const test = base.extend<{ lab: Lab; cluster: Cluster }>({
  lab: async ({ page }, use) => {
    mkdirSync(FOLDER, { recursive: true });
    await use(new Lab(page));
    await page.evaluate(() =>
      (window as any).jupyterapp.serviceManager.sessions.shutdownAll()
    );
  },
  cluster: [
    // eslint-disable-next-line no-empty-pattern
    async ({}, use) => {
      const cluster = new Cluster(process.env.PICTURES_NAMESPACE!);
      await use(cluster);
      await cluster.clear();
    },
    { auto: true }
  ]
});
