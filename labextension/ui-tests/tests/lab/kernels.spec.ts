import { expect, test } from '../support/fixtures';
import { answer } from '../support/kube';

test('a launcher tile starts a kernel that is a pod with a GPU', async ({
  page,
  cluster,
  notebook: story
}) => {
  await page
    .locator('.jp-LauncherCard[data-category="Notebook"]', {
      hasText: 'One GPU'
    })
    .click();
  await story.ready();
  await story.write(0, 'print(6 * 7)');
  await story.run(0);
  await expect(story.output(0)).toContainText('42');
  const [pod, ...others] = await cluster.kernels();
  expect(others).toEqual([]);
  expect(pod.spec.containers[0].resources.limits['nvidia.com/gpu']).toBe('1');
});

test('an image that cannot be pulled is told where the user looks', async ({
  page,
  cluster,
  openNotebook
}) => {
  const story = await openNotebook('missing', ['print(1)']);
  await answer(page, /localhost\/missing:1: not found|cannot be had/, 'Ok');
  await expect(story.output(0)).toBeEmpty();
  await expect.poll(() => cluster.kernels()).toEqual([]);
});
