/** The picture that moves: from a cell, by its button, to its result. */
import { mkdirSync } from 'fs';
import { join } from 'path';
import type { Locator, Page } from '@playwright/test';

import { LOAD, training } from './cells';
import { FOLDER, expect, test } from './lab';

test.use({ viewport: { width: 960, height: 600 } });

test('run', async ({ lab, page }) => {
  await lab.open('line.ipynb', 'python', [
    LOAD,
    training(40, 0.15, 20),
    'print(f"came back: y = {slope:.2f} x + {offset:.2f}")'
  ]);
  await lab.command('application:toggle-left-area');
  await lab.command('statusbar:toggle');
  await lab.runWhole(0);
  const film = new Film(page);
  await film.begin();
  const cell = lab.cell(1);
  await cell.locator('.cm-content').click();
  await cell.evaluate(node => node.scrollIntoView({ block: 'start' }));
  await film.frame(1500);
  await film.click(
    cell.getByRole('button', { name: /workers in the cluster/ })
  );
  const dialog = page.locator('.jp-Dialog-content');
  const fit = dialog.locator('.jp-KubeForm-fit');
  await expect(fit).not.toBeEmpty();
  await film.frame(1200);
  await film.write(dialog.getByLabel('Workers', { exact: true }), '4');
  await film.write(
    dialog.getByLabel('Outputs', { exact: true }),
    'slope,offset'
  );
  await expect(fit).toContainText('There is room');
  await film.frame(1500);
  await film.click(dialog.getByRole('button', { name: 'Run', exact: true }));
  await expect(dialog).toHaveCount(0);
  const prompt = cell.locator('.jp-InputPrompt');
  while (/\*|\[ \]/.test((await prompt.textContent())!)) {
    await cell.evaluate(node => node.scrollIntoView({ block: 'end' }));
    await film.frame(250);
  }
  await film.frame(1500);
  await lab.run(2);
  await expect(lab.output(2)).toContainText('came back');
  await lab.cell(2).evaluate(node => node.scrollIntoView({ block: 'end' }));
  await film.frame(3500);
  await lab.command('statusbar:toggle');
});

/** Frames of a picture that moves, with the pointer in them. */
class Film {
  constructor(readonly page: Page) {}

  async begin(): Promise<void> {
    mkdirSync(join(FOLDER, 'run'), { recursive: true });
    await this.page.evaluate(() => {
      const pointer = document.createElement('div');
      pointer.style.cssText =
        'position:fixed;z-index:100000;width:14px;height:14px;border-radius:50%;' +
        'background:#f37626;opacity:.8;pointer-events:none;transform:translate(-50%,-50%)';
      document.body.append(pointer);
      document.addEventListener(
        'mousemove',
        ({ clientX, clientY }) => {
          pointer.style.left = `${clientX}px`;
          pointer.style.top = `${clientY}px`;
        },
        true
      );
    });
    await this.page.mouse.move(700, 560);
  }

  /** Take a frame that stays for so many milliseconds. */
  async frame(milliseconds: number): Promise<void> {
    const name = `${String(this._count++).padStart(3, '0')}-${milliseconds}`;
    await this.page.screenshot({ path: join(FOLDER, 'run', `${name}.png`) });
  }

  async click(what: Locator): Promise<void> {
    await what.hover();
    await this.frame(700);
    await what.click();
  }

  async write(field: Locator, text: string): Promise<void> {
    await field.click();
    await field.fill(text);
    await this.frame(700);
  }

  private _count = 0;
}
