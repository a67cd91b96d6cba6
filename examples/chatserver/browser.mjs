// This script chats in a real browser. It prints a line for each step.
import { chromium } from 'playwright-core';

const [url, executablePath, picture] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] });
const page = await browser.newPage({ viewport: { width: 480, height: 640 } });
page.on('pageerror', failure => console.log('failure:', failure.message));
page.on('console', message => { if (message.type() === 'error') console.log('failure:', message.text()); });
await page.goto(url);

async function send(text) {
  await page.getByLabel('Your message').fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
}
const status = page.getByRole('status'), answers = page.locator('#log li.model');

await send('Hello from a browser!');
await status.filter({ hasText: 'You are number' }).waitFor();
console.log('waits:', await status.textContent());
if (picture) await page.screenshot({ path: picture });
await page.getByRole('button', { name: 'Send' }).and(page.locator(':enabled')).waitFor();
console.log('reads:', await answers.nth(0).textContent());

await send('And again.');
await page.getByRole('button', { name: 'Send' }).and(page.locator(':enabled')).waitFor();
console.log('reads:', await answers.nth(1).textContent());

await send('Never mind.');
await status.filter({ hasText: 'You are number' }).waitFor();
await page.getByRole('button', { name: 'Stop' }).click();
await page.getByRole('button', { name: 'Send' }).and(page.locator(':enabled')).waitFor();
console.log('stopped:', await answers.count(), 'answers');

await send('Goodbye.');
await status.filter({ hasText: 'You are number' }).waitFor();
await browser.close();
console.log('disconnected');
