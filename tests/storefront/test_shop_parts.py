"""Settings, demo data, certificates and limits: what needs no running shop."""

import ssl
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from storefront.demo.pictures import draw, ensure_pictures
from storefront.demo.products import CATEGORIES, PRODUCTS, make_products
from storefront.engines.certificates import ensure_certificates
from storefront.errors import SettingsError
from storefront.security import RequestLimiter
from storefront.settings import PasswordCost, load_settings

HOME = {"STOREWATCH_HOME": "/somewhere"}


def test_ports_and_limits_come_from_the_environment() -> None:
    settings = load_settings({**HOME, "SHOP_PORT_DB_A": "5001", "SHOP_PROVIDER_S": "0.5"})
    assert settings.port("db-a") == 5001
    assert settings.port("db-b") == 18433
    assert settings.limits.provider_s == 0.5


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "STOREWATCH_HOME must be an absolute path"),
        ({"STOREWATCH_HOME": "var"}, "STOREWATCH_HOME must be an absolute path"),
        ({**HOME, "SHOP_PORT_TLS": "high"}, "SHOP_PORT_TLS is 'high'; a port is a number"),
        ({**HOME, "SHOP_PORT_TLS": "70000"}, "SHOP_PORT_TLS is '70000'"),
        ({**HOME, "SHOP_LEASE_S": "soon"}, "SHOP_LEASE_S is 'soon'; a right value is 3.5"),
    ],
)
def test_a_wrong_setting_is_one_line_with_the_right_form(
    environment: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        load_settings(environment)


@pytest.mark.parametrize("value", ["", "with space", "quote'quote", "semi;colon"])
def test_a_secret_that_configuration_files_would_misread_is_refused(value: str) -> None:
    settings = load_settings({**HOME, "REDIS_PASSWORD": value})
    with pytest.raises(SettingsError, match="REDIS_PASSWORD"):
        settings.secret("REDIS_PASSWORD")


def test_settings_do_not_show_secrets() -> None:
    assert "hush" not in repr(load_settings({**HOME, "REDIS_PASSWORD": "hush"}))


def test_the_catalogue_is_the_same_from_every_run_and_has_no_twins() -> None:
    products = make_products()
    assert products == make_products()
    assert products != make_products(seed=1)
    assert len(products) == len({p.name for p in products}) == PRODUCTS == 500
    assert {p.category.slug for p in products} == {c.slug for c in CATEGORIES}
    assert all(p.stock >= 4000 and p.stock > p.safety_stock for p in products)


def test_every_picture_is_a_whole_svg_and_missing_ones_are_drawn_again(tmp_path: Path) -> None:
    for product in make_products():
        assert ET.fromstring(draw(product)).tag.endswith("svg")  # noqa: S314 - our own drawing
    ensure_pictures(tmp_path)
    assert len(list(tmp_path.iterdir())) == PRODUCTS
    (tmp_path / "kit-0001.svg").unlink()
    kept = tmp_path / "toy-0011.svg"
    kept.write_text("kept")
    ensure_pictures(tmp_path)
    assert (tmp_path / "kit-0001.svg").exists()
    assert kept.read_text() == "kept"


def test_good_certificates_are_kept_and_damaged_ones_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    ensure_certificates(folder, None)
    authority = (folder / "ca.pem").read_text()
    assert ssl.create_default_context(cafile=str(folder / "ca.pem")).get_ca_certs()
    ensure_certificates(folder, None)
    assert (folder / "ca.pem").read_text() == authority
    assert (folder / "server.key").stat().st_mode & 0o077 == 0
    (folder / "server.pem").write_text("half a certif")
    ensure_certificates(folder, None)
    assert (folder / "ca.pem").read_text() != authority


def test_one_client_over_the_limit_does_not_stop_another() -> None:
    limiter = RequestLimiter(most=3)
    assert [limiter.admit("a") for _ in range(5)] == [True, True, True, False, False]
    assert limiter.admit("b")


def test_a_demo_password_costs_less_than_ten_milliseconds_of_a_core() -> None:
    cost = PasswordCost()
    hasher = PasswordHasher(
        time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=cost.parallelism
    )
    stored = hasher.hash("demo-shopper")
    started = time.process_time()
    for _ in range(20):
        hasher.verify(stored, "demo-shopper")
    assert (time.process_time() - started) / 20 < 0.01
