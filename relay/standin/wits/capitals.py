"""Countries and their capitals. Pure."""

from typing import Final

_LIST: Final = """
Afghanistan: Kabul; Albania: Tirana; Algeria: Algiers; Andorra: Andorra la Vella; Angola: Luanda;
Argentina: Buenos Aires; Armenia: Yerevan; Australia: Canberra; Austria: Vienna; Azerbaijan: Baku; Bahamas: Nassau;
Bahrain: Manama; Bangladesh: Dhaka; Barbados: Bridgetown; Belarus: Minsk; Belgium: Brussels; Belize: Belmopan;
Benin: Porto-Novo; Bhutan: Thimphu; Bolivia: Sucre; Bosnia: Sarajevo; Botswana: Gaborone; Brazil: Brasilia;
Brunei: Bandar Seri Begawan; Bulgaria: Sofia; Burkina Faso: Ouagadougou; Burundi: Gitega; Cambodia: Phnom Penh;
Cameroon: Yaounde; Canada: Ottawa; Cape Verde: Praia; Central African Republic: Bangui; Chad: N'Djamena;
Chile: Santiago; China: Beijing; Colombia: Bogota; Comoros: Moroni; Congo: Brazzaville; Costa Rica: San Jose;
Croatia: Zagreb; Cuba: Havana; Cyprus: Nicosia; Czechia: Prague;
Democratic Republic of the Congo: Kinshasa; Denmark: Copenhagen; Djibouti: Djibouti;
Dominica: Roseau; Dominican Republic: Santo Domingo; East Timor: Dili; Ecuador: Quito; Egypt: Cairo;
El Salvador: San Salvador; England: London; Equatorial Guinea: Malabo; Eritrea: Asmara; Estonia: Tallinn;
Eswatini: Mbabane; Ethiopia: Addis Ababa; Fiji: Suva; Finland: Helsinki; France: Paris; Gabon: Libreville;
Gambia: Banjul; Georgia: Tbilisi; Germany: Berlin; Ghana: Accra; Great Britain: London; Greece: Athens;
Greenland: Nuuk; Grenada: Saint George's; Guatemala: Guatemala City; Guinea: Conakry; Guinea-Bissau: Bissau;
Guyana: Georgetown; Haiti: Port-au-Prince; Honduras: Tegucigalpa; Hungary: Budapest; Iceland: Reykjavik;
India: New Delhi; Indonesia: Jakarta; Iran: Tehran; Iraq: Baghdad; Ireland: Dublin; Italy: Rome;
Ivory Coast: Yamoussoukro; Jamaica: Kingston; Japan: Tokyo; Jordan: Amman; Kazakhstan: Astana; Kenya: Nairobi;
Kiribati: Tarawa; Kosovo: Pristina; Kuwait: Kuwait City; Kyrgyzstan: Bishkek; Laos: Vientiane; Latvia: Riga;
Lebanon: Beirut; Lesotho: Maseru; Liberia: Monrovia; Libya: Tripoli; Liechtenstein: Vaduz; Lithuania: Vilnius;
Luxembourg: Luxembourg; Madagascar: Antananarivo; Malawi: Lilongwe; Malaysia: Kuala Lumpur; Maldives: Male;
Mali: Bamako; Malta: Valletta; Marshall Islands: Majuro; Mauritania: Nouakchott; Mauritius: Port Louis;
Mexico: Mexico City; Micronesia: Palikir; Moldova: Chisinau; Monaco: Monaco; Mongolia: Ulaanbaatar;
Montenegro: Podgorica; Morocco: Rabat; Mozambique: Maputo; Myanmar: Naypyidaw; Namibia: Windhoek; Nepal: Kathmandu;
Netherlands: Amsterdam; New Zealand: Wellington; Nicaragua: Managua; Niger: Niamey; Nigeria: Abuja;
North Korea: Pyongyang; North Macedonia: Skopje; Northern Ireland: Belfast; Norway: Oslo; Oman: Muscat;
Pakistan: Islamabad; Palau: Ngerulmud; Panama: Panama City; Papua New Guinea: Port Moresby; Paraguay: Asuncion;
Peru: Lima; Philippines: Manila; Poland: Warsaw; Portugal: Lisbon; Qatar: Doha; Romania: Bucharest; Russia: Moscow;
Rwanda: Kigali; Saint Lucia: Castries; Samoa: Apia; San Marino: San Marino; Saudi Arabia: Riyadh; Scotland: Edinburgh;
Senegal: Dakar; Serbia: Belgrade; Seychelles: Victoria; Sierra Leone: Freetown; Singapore: Singapore;
Slovakia: Bratislava; Slovenia: Ljubljana; Solomon Islands: Honiara; Somalia: Mogadishu; South Africa: Pretoria;
South Korea: Seoul; South Sudan: Juba; Spain: Madrid; Sri Lanka: Sri Jayawardenepura Kotte; Sudan: Khartoum;
Suriname: Paramaribo;
Sweden: Stockholm; Switzerland: Bern; Syria: Damascus; Taiwan: Taipei; Tajikistan: Dushanbe; Tanzania: Dodoma;
Thailand: Bangkok; Togo: Lome; Tonga: Nuku'alofa; Trinidad and Tobago: Port of Spain; Tunisia: Tunis; Turkey: Ankara;
Turkmenistan: Ashgabat; Tuvalu: Funafuti; Uganda: Kampala; Ukraine: Kyiv; United Arab Emirates: Abu Dhabi;
United Kingdom: London; United States: Washington; Uruguay: Montevideo; Uzbekistan: Tashkent; Vanuatu: Port Vila;
Vatican: Vatican City; Venezuela: Caracas; Vietnam: Hanoi; Wales: Cardiff; Yemen: Sanaa; Zambia: Lusaka;
Zimbabwe: Harare
"""
_OTHER_NAMES: Final = {
    "america": "united states", "usa": "united states", "us": "united states", "u s": "united states",
    "united states of america": "united states", "states": "united states", "uk": "united kingdom",
    "u k": "united kingdom", "britain": "great britain", "holland": "netherlands", "czech republic": "czechia",
    "burma": "myanmar", "bosnia and herzegovina": "bosnia", "macedonia": "north macedonia", "swaziland": "eswatini",
    "republic of the congo": "congo", "ivory coast": "ivory coast", "vatican city": "vatican", "timor": "east timor",
    "emirates": "united arab emirates", "korea": "south korea", "bissau": "guinea bissau", "turkiye": "turkey",
}  # fmt: skip
_ARTICLE: Final = frozenset(
    {
        "bahamas",
        "central african republic",
        "comoros",
        "congo",
        "democratic republic of the congo",
        "dominican republic",
    }
    | {"gambia", "ivory coast"}
    | {"maldives", "marshall islands", "netherlands", "philippines", "seychelles", "solomon islands", "vatican"}
    | {"united arab emirates", "united kingdom", "united states"}
)

_PAIRS: Final = [tuple(pair.strip().split(": ")) for pair in _LIST.replace("\n", " ").split(";")]


def _key(name: str) -> str:
    return name.lower().replace("-", " ").replace("'", "")


CAPITALS: Final = {_key(country): (country, capital) for country, capital in _PAIRS}
COUNTRIES: Final = {_key(capital): country for country, capital in reversed(_PAIRS)}


def of(country: str) -> tuple[str, str] | None:
    """The country as it is written in a sentence, and its capital."""
    key = _key(country).removeprefix("the ")
    key = _OTHER_NAMES.get(key, key)
    if key not in CAPITALS:
        return None
    name, capital = CAPITALS[key]
    return (f"the {name}" if key in _ARTICLE else name), capital


def country(capital: str) -> tuple[str, str] | None:
    """The capital as it is written, and its country as in a sentence."""
    name = COUNTRIES.get(_key(capital))
    return None if name is None else (of(name) or (name, ""))[::-1]
