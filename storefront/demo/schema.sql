-- The shop's tables. A statement ends with a semicolon and an empty line (single-user mode).
-- What must never happen is a constraint here, not a hope in the code.

SET ROLE shop;

CREATE TABLE users (
  id            bigint PRIMARY KEY,
  email         text NOT NULL UNIQUE,
  name          text NOT NULL,
  password_hash text NOT NULL,
  created_at    timestamptz NOT NULL DEFAULT now(),
  -- The day of the last log-in, and no more of what somebody did when.
  last_active_on date
);

CREATE INDEX users_active ON users (last_active_on);

CREATE TABLE categories (
  id   bigint PRIMARY KEY,
  slug text NOT NULL UNIQUE,
  name text NOT NULL
);

CREATE TABLE products (
  id            bigint PRIMARY KEY,
  sku           text NOT NULL UNIQUE,
  name          text NOT NULL,
  description   text NOT NULL,
  category_id   bigint NOT NULL REFERENCES categories,
  price_cents   bigint NOT NULL CHECK (price_cents > 0),
  stock         bigint NOT NULL CONSTRAINT stock_never_below_zero CHECK (stock >= 0),
  initial_stock bigint NOT NULL CHECK (initial_stock >= 0),
  safety_stock  bigint NOT NULL CHECK (safety_stock >= 0),
  image         text NOT NULL,
  search        tsvector GENERATED ALWAYS AS (
    setweight(to_tsvector('english', name), 'A') ||
    setweight(to_tsvector('english', description), 'B')
  ) STORED
) WITH (fillfactor = 80);

CREATE INDEX products_search ON products USING gin (search);

CREATE INDEX products_category ON products (category_id, id);

CREATE TABLE orders (
  id              uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id         bigint NOT NULL REFERENCES users,
  idempotency_key text NOT NULL UNIQUE CHECK (idempotency_key <> ''),
  state           text NOT NULL DEFAULT 'placed' CHECK (
    state IN ('placed', 'paid', 'shipped', 'delivered', 'cancelled', 'refunded')),
  total_cents     bigint NOT NULL CHECK (total_cents > 0),
  provider        text NOT NULL,
  restocked       boolean NOT NULL DEFAULT false,
  created_at      timestamptz NOT NULL DEFAULT now(),
  paid_at         timestamptz,
  shipped_at      timestamptz,
  delivered_at    timestamptz,
  cancelled_at    timestamptz,
  refunded_at     timestamptz
) WITH (fillfactor = 80);

CREATE INDEX orders_user ON orders (user_id, created_at DESC);

CREATE INDEX orders_to_ship ON orders (paid_at) WHERE state = 'paid';

CREATE INDEX orders_to_deliver ON orders (shipped_at) WHERE state = 'shipped';

CREATE INDEX orders_open ON orders (created_at) WHERE state = 'placed';

CREATE INDEX orders_paid ON orders (paid_at) WHERE paid_at IS NOT NULL;

CREATE TABLE order_lines (
  order_id    uuid NOT NULL REFERENCES orders,
  product_id  bigint NOT NULL REFERENCES products,
  quantity    bigint NOT NULL CHECK (quantity > 0),
  price_cents bigint NOT NULL CHECK (price_cents > 0),
  PRIMARY KEY (order_id, product_id)
);

CREATE INDEX order_lines_product ON order_lines (product_id);

-- One row per attempt to take the money of an order at one provider, under one key.
CREATE TABLE payments (
  id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  order_id        uuid NOT NULL REFERENCES orders,
  attempt         integer NOT NULL,
  provider        text NOT NULL,
  idempotency_key text NOT NULL UNIQUE,
  state           text NOT NULL DEFAULT 'pending' CHECK (
    state IN ('pending', 'captured', 'failed', 'unknown', 'voided', 'refunded')),
  amount_cents    bigint NOT NULL CHECK (amount_cents > 0),
  claims          integer NOT NULL DEFAULT 1,
  claimed_until   timestamptz NOT NULL,
  created_at      timestamptz NOT NULL DEFAULT now(),
  updated_at      timestamptz NOT NULL DEFAULT now(),
  UNIQUE (order_id, attempt)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX payments_one_capture ON payments (order_id) WHERE state = 'captured';

-- No second provider while the first attempt is not known or voided.
CREATE UNIQUE INDEX payments_one_open_attempt ON payments (order_id)
  WHERE state IN ('pending', 'unknown', 'captured');

CREATE INDEX payments_created ON payments (created_at);

CREATE INDEX payments_open ON payments (claimed_until) WHERE state IN ('pending', 'unknown');

CREATE TABLE shipments (
  order_id   uuid PRIMARY KEY REFERENCES orders,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE events (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind       text NOT NULL CHECK (kind IN ('visit', 'view', 'add_to_cart', 'order')),
  product_id bigint,
  order_id   uuid,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX events_kind ON events (kind, created_at);

-- What support is asked: no words, they stay in the mail system.
CREATE TABLE enquiries (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  user_id     bigint NOT NULL REFERENCES users,
  topic       text NOT NULL CHECK (topic IN ('order', 'payment', 'delivery', 'return', 'other')),
  created_at  timestamptz NOT NULL DEFAULT now(),
  answered_at timestamptz CHECK (answered_at >= created_at)
);

CREATE INDEX enquiries_open ON enquiries (created_at) WHERE answered_at IS NULL;

CREATE INDEX enquiries_answered ON enquiries (answered_at) WHERE answered_at IS NOT NULL;

CREATE TABLE audit_events (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind       text NOT NULL,
  subject    text NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE shop_settings (
  key   text PRIMARY KEY,
  value text NOT NULL
);

CREATE FUNCTION orders_state_moves_forward() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.state = OLD.state OR (OLD.state, NEW.state) IN (
    ('placed', 'paid'), ('placed', 'cancelled'), ('paid', 'shipped'), ('shipped', 'delivered'),
    ('paid', 'refunded'), ('shipped', 'refunded'), ('delivered', 'refunded')
  ) THEN
    RETURN NEW;
  END IF;
  RAISE EXCEPTION 'an order cannot go from % to %', OLD.state, NEW.state
    USING ERRCODE = 'check_violation';
END $$;

CREATE TRIGGER orders_state BEFORE UPDATE OF state ON orders
  FOR EACH ROW EXECUTE FUNCTION orders_state_moves_forward();

CREATE VIEW storewatch_invariants AS
SELECT 'stock_below_zero' AS name, count(*) AS violations FROM products WHERE stock < 0
UNION ALL
SELECT 'order_without_key', count(*) FROM orders WHERE coalesce(idempotency_key, '') = ''
UNION ALL
SELECT 'two_captures_one_order', count(*) FROM (
  SELECT order_id FROM payments WHERE state = 'captured' GROUP BY order_id HAVING count(*) > 1
) AS twice
UNION ALL
SELECT 'oversold_units', coalesce(sum(abs(p.initial_stock - p.stock - coalesce(s.sold, 0))), 0)::bigint
FROM products p LEFT JOIN (
  SELECT l.product_id, sum(l.quantity) AS sold
  FROM order_lines l JOIN orders o ON o.id = l.order_id WHERE NOT o.restocked GROUP BY l.product_id
) AS s ON s.product_id = p.id
UNION ALL
SELECT 'paid_without_capture', count(*) FROM orders o
WHERE o.state IN ('paid', 'shipped', 'delivered') AND NOT EXISTS (
  SELECT 1 FROM payments p WHERE p.order_id = o.id AND p.state = 'captured');

RESET ROLE;

CREATE EXTENSION pg_stat_statements;

-- What business queries and load tests read; of persons no more than numbers and days.
GRANT SELECT ON categories, products, orders, payments, events, enquiries, shop_settings,
  storewatch_invariants TO storewatch_monitor;

GRANT SELECT (id, created_at, last_active_on) ON users TO storewatch_monitor;
