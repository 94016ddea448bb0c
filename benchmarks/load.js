// The checkout of storefront/journeys.py with the same checks, for k6.
import http from 'k6/http';
import { check } from 'k6';
import exec from 'k6/execution';

const shop = __ENV.SHOP;
const json = { 'Content-Type': 'application/json' };

export const options = {
  thresholds: { checks: ['rate==1.0'] },
  scenarios: {
    checkout: {
      executor: 'constant-arrival-rate',
      rate: Number(__ENV.RATE),
      duration: `${__ENV.SECONDS}s`,
      preAllocatedVUs: 50,
      gracefulStop: '10s',
    },
  },
};

function get(path, route, headers) {
  return http.get(shop + path, { headers, tags: { name: route } });
}

function post(path, body, headers) {
  return http.post(shop + path, body, { headers, tags: { name: path } });
}

function ok(answer, status) {
  check(answer, { status: (a) => a.status === status });
  return answer;
}

export default function () {
  const number = exec.scenario.iterationInTest;
  ok(get('/', '/', {}), 200);
  const account = { email: `shopper-${number % 500}@example.test`, password: 'demo-shopper' };
  const token = ok(post('/api/login', JSON.stringify(account), json), 200).json().token;
  const headers = { Authorization: `Bearer ${token}` };
  const wanted = 1 + (number * 37) % 500;
  const product = ok(get(`/api/products/${wanted}`, '/api/products/{product_id}', {}), 200).json();
  check(product, { product: (p) => p.id === wanted, stock: (p) => p.stock > 0 });
  const quantity = 1 + number % 2;
  const line = JSON.stringify({ product_id: product.id, quantity });
  ok(post('/api/cart', line, Object.assign({}, json, headers)), 200);
  const key = { 'Idempotency-Key': `run-${number}` };
  const order = ok(post('/api/checkout', null, Object.assign(key, headers)), 201).json();
  check(order, {
    paid: (o) => o.state === 'paid',
    amount: (o) => o.amount_cents === quantity * product.price_cents,
  });
  const kept = ok(get(`/api/orders/${order.order_id}`, '/api/orders/{order_id}', headers), 200);
  check(kept.json(), {
    paid: (o) => o.state === 'paid',
    amount: (o) => o.amount_cents === order.amount_cents,
  });
}
