"""Another author's tank, flow meter and stages, to judge the fuel estimate with."""
